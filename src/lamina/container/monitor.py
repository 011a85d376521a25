"""The monitor: one process per running container, forked from whoever starts it.

It is the parent of the container's first process (as a subreaper), owns its pipes or terminal, writes its log, serves
the client that started it, waits, records the state and cleans up. It outlives the client: nothing of what it does
depends on anybody reading the other end of its socket.
"""

import os
import select
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple, NoReturn, Protocol

from lamina.container import frames, jsonlog, rundirectory
from lamina.container.frames import Failure
from lamina.container.record import Container
from lamina.container.rundirectory import RunDirectory
from lamina.container.streams import Streams
from lamina.errors import LaminaError
from lamina.linux import daemon
from lamina.runtime import cgroup
from lamina.runtime.program import ENGINE_FAILED, RuntimeFailed, RuntimeProgram

_READ = frames.CHUNK
#: How much of a client's input may wait for a container that does not read.
_INPUT_LIMIT = 256 << 10
#: How long output is read after the first process ended, when something outside its pid namespace keeps a pipe open.
_DRAIN_SECONDS = 2.0


class Household(Protocol):
    """What the monitor needs of the engine, opened afresh in the monitor's process."""

    def save(self, container: Container) -> None:
        """Write the state."""

    def exited(self, id: str, code: int, *, oom_killed: bool) -> None:
        """Record the end, by what is on disk now: others may have changed the files meanwhile."""

    def unmount(self, id: str) -> None: ...

    def remove(self, id: str) -> None:
        """``--rm``."""


class Plan(NamedTuple):
    """One start.

    :ivar container: its record; the starter holds its lock until it hears from the monitor.
    :ivar run: directory with the bundle.
    :ivar lock: descriptor of the run directory's lock.
    :ivar client: the monitor's end of the socket pair.
    :ivar attached: whether the client stays and gets the output.
    :ivar reopen: makes the :class:`Household` once the start worked.
    """

    container: Container
    run: RunDirectory
    runtime: RuntimeProgram
    lock: int
    client: int
    attached: bool
    cgroups_path: str
    log_path: str
    reopen: Callable[[], Household]


def fork(plan: Plan) -> int:
    """Start a monitor; its pid, which the caller must reap some day when it lives on."""
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    return _main(plan)


def _main(plan: Plan) -> NoReturn:
    code = 1
    try:
        daemon.leave_caller("lamina-monitor", {plan.lock, plan.client})
        Monitor(plan).run()
        code = 0
    finally:
        os._exit(code)


class Monitor:
    """One run of one container."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._id = plan.container.id
        config = plan.container.config
        self._once = bool(config.get("StdinOnce"))
        self._streams = Streams(terminal=bool(config.get("Tty")), open_stdin=bool(config.get("OpenStdin")))
        self._client = Client(plan.client)
        self._splitters = {name: jsonlog.Splitter() for name in (jsonlog.STDOUT, jsonlog.STDERR)}
        self._input = bytearray()
        self._input_ended = False
        self._pid = 0
        self._code: int | None = None

    def run(self) -> None:
        try:
            self._run()
        except BaseException as error:
            self._leave_word(error)
            raise

    def _leave_word(self, error: BaseException) -> None:
        """Say why this ends early: to the client, and for whoever looks after the container next."""
        place = error.__traceback__
        while place is not None and place.tb_next is not None:
            place = place.tb_next
        where = f" ({place.tb_frame.f_code.co_filename}:{place.tb_lineno})" if place is not None else ""
        message = f"the container's monitor failed: {type(error).__name__}: {error}{where}"
        with suppress(OSError):
            self._plan.run.leave_failure(message)
        self._client.send(Failure(message, ENGINE_FAILED).encode())

    def _run(self) -> None:
        wakeup = self._watch_children()
        try:
            household = self._plan.reopen()
            try:
                self._pid = self._start()
            except BaseException:
                household.unmount(self._id)
                raise
        except (LaminaError, OSError) as error:
            self._failed(error)
            return
        self._plan.container.set_running(self._pid)
        household.save(self._plan.container)
        self._client.send(frames.STARTED)
        if not self._plan.attached:
            self._client.close()
        log = jsonlog.Writer(self._plan.log_path)
        self._relay(wakeup, log)
        log.close()
        self._finish(household)

    def _watch_children(self) -> int:
        """A descriptor that becomes readable when a child has ended."""
        read, write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        return read

    def _start(self) -> int:
        plan, streams = self._plan, self._streams
        console = streams.listen_for_console(plan.run.path) if streams.terminal else None
        pid = plan.runtime.run_detached(
            self._id,
            plan.run.path,
            streams.inherited,
            command=plan.container.command[0],
            console_socket=console,
            # Should this process be killed now, the runtime would still start the container: until it has done so
            # nobody may clean up.
            held=plan.lock,
        )
        streams.started()
        return pid

    def _failed(self, error: LaminaError | OSError) -> None:
        """Undo, and tell the starter, who holds the container's lock and records why."""
        code = error.code if isinstance(error, RuntimeFailed) else ENGINE_FAILED
        self._plan.run.remove()
        os.close(self._plan.lock)
        self._client.send(Failure(str(error), code).encode())
        self._client.flush()

    # While it runs

    def _relay(self, wakeup: int, log: jsonlog.Writer) -> None:
        """Move bytes until the first process has ended and its output was read."""
        deadline = 0.0
        while self._code is None or (self._streams.sources and time.monotonic() < deadline):
            timeout = None if self._code is None else max(0.0, deadline - time.monotonic()) * 1000
            for descriptor, events in self._wait(wakeup, timeout):
                if descriptor == wakeup:
                    _drain(wakeup)
                elif descriptor in self._streams.sources:
                    self._output(descriptor, log)
                elif descriptor == self._client.descriptor:
                    self._serve(events)
                elif descriptor == self._streams.sink:
                    self._feed()
            if self._code is None:
                self._code = _exit_code_of(self._pid)
                deadline = time.monotonic() + _DRAIN_SECONDS
            elif self._client.behind:  # what it has not taken yet must not be lost
                deadline = time.monotonic() + _DRAIN_SECONDS
        for name, splitter in self._splitters.items():
            with suppress(OSError):
                log.write(splitter.rest(), name, time.time_ns())

    def _wait(self, wakeup: int, timeout: float | None) -> list[tuple[int, int]]:
        poll = select.poll()
        poll.register(wakeup, select.POLLIN)
        client = self._client
        if not client.behind:
            for source in self._streams.sources:
                poll.register(source, select.POLLIN)
        if client.descriptor >= 0:
            wanted = select.POLLOUT if client.behind else 0
            if len(self._input) < _INPUT_LIMIT:
                wanted |= select.POLLIN
            poll.register(client.descriptor, wanted)
        if self._input and self._streams.sink >= 0:
            poll.register(self._streams.sink, select.POLLOUT)
        return poll.poll(timeout)

    def _output(self, descriptor: int, log: jsonlog.Writer) -> None:
        name = self._streams.sources[descriptor]
        data = self._streams.read(descriptor, _READ)
        if not data:
            return
        with suppress(OSError):  # a full disk costs the log, not the container
            log.write(self._splitters[name].feed(data), name, time.time_ns())
        self._client.send((frames.OUT if name == jsonlog.STDOUT else frames.ERR) + data)

    def _serve(self, events: int) -> None:
        """A frame from the client, or room for more to it."""
        if events & select.POLLOUT:
            self._client.push()
        if not events & (select.POLLIN | select.POLLHUP | select.POLLERR):
            return
        frame = self._client.receive()
        kind, payload = frame[:1], frame[1:]
        if kind == frames.INPUT:
            self._input += payload
            self._feed()
        elif kind == frames.INPUT_END:
            self._input_ended = True
            self._feed()
        elif kind == frames.RESIZE:
            rows, columns = payload.split()
            self._streams.resize(int(rows), int(columns))
        elif not frame:
            self._client.close()
            self._input_ended = self._input_ended or self._once
            self._feed()

    def _feed(self) -> None:
        self._streams.feed(self._input, ended=self._input_ended)

    # The end

    def _finish(self, household: Household) -> None:
        plan = self._plan
        assert self._code is not None
        # The pid is not reaped before the state says that nothing runs: nobody can signal a process that took it over.
        oom_killed = cgroup.oom_killed(plan.cgroups_path)
        household.exited(self._id, self._code, oom_killed=oom_killed)
        _reap_all()
        # With its first process its pid namespace ended, and what the runtime keeps goes with the run directory.
        if not cgroup.remove(plan.cgroups_path):
            plan.runtime.delete(self._id, plan.run.path)
        household.unmount(self._id)
        if plan.container.auto_remove:
            household.remove(self._id)
        rundirectory.leave_exit_code(plan.lock, self._code)
        plan.run.remove()
        os.close(plan.lock)
        self._client.send(frames.exited(self._code))
        self._client.flush()


class Client:
    """The monitor's end of the socket to the client. Never blocks until :meth:`flush`."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._pending: list[bytes] = []
        os.set_blocking(descriptor, False)

    @property
    def behind(self) -> bool:
        """Whether the client has not taken what was sent. Output is not read then: the container waits for it."""
        return bool(self._pending)

    def send(self, frame: bytes) -> None:
        if self.descriptor >= 0:
            self._pending.append(frame)
            self.push()

    def push(self) -> None:
        """Send what is pending, as much as goes."""
        try:
            while self._pending:
                os.write(self.descriptor, self._pending[0])
                del self._pending[0]
        except BlockingIOError:
            return
        except OSError:
            self.close()

    def receive(self) -> bytes:
        """One frame; ``b""`` when the client is gone."""
        try:
            return os.read(self.descriptor, _READ + 1)
        except BlockingIOError:
            return frames.NOTHING
        except OSError:
            return b""

    def flush(self) -> None:
        """Send the rest, waiting for the client, and close."""
        if self.descriptor >= 0:
            os.set_blocking(self.descriptor, True)
            self.push()
        self.close()

    def close(self) -> None:
        """Idempotent."""
        self._pending.clear()
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


def _drain(descriptor: int) -> None:
    try:
        while os.read(descriptor, 4096):
            pass
    except BlockingIOError:
        return


def _exit_code_of(pid: int) -> int | None:
    """Exit code of ``pid`` if it has ended, without reaping it; children that it left behind are reaped."""
    # Right after a detached start the process may still be the child of a helper of the runtime that is about to end;
    # it comes here by the time it is waited for.
    while True:
        try:
            result = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            result = None
        if result is not None:
            return result.si_status if result.si_code == os.CLD_EXITED else 128 + result.si_status
        try:
            other = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return None
        if other is None:
            return None
        if other.si_pid != pid:
            os.waitpid(other.si_pid, os.WNOHANG)


def _reap_all() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return

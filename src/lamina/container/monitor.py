"""The monitor: one process per running container, forked from whoever starts it.

It is the parent of the container's first process (as a subreaper), owns its pipes or terminal, writes its log, serves
the clients that are attached, waits, records the state, starts it again where the restart policy says so, and cleans
up. It outlives the client: nothing of what it does depends on anybody reading the other end of a socket.
"""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable

from lamina import signal
from lamina.container import frames, jsonlog, logdrivers, rundirectory
from lamina.container.clients import Client, Clients
from lamina.container.frames import Failure
from lamina.container.health import HealthCheck, Result
from lamina.container.logdrivers import Log
from lamina.container.record import Container
from lamina.container.restarting import Pauses
from lamina.container.rundirectory import RunDirectory
from lamina.container.streams import Streams
from lamina.contextlib import AbstractContextManager, suppress
from lamina.errors import LaminaError
from lamina.linux import memory
from lamina.runtime import cgroup, sealing
from lamina.runtime.program import ENGINE_FAILED, RuntimeFailed, RuntimeProgram
from lamina.typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from lamina.container.checking import Checker
    from lamina.container.execution import ExecRequest, Execution

_READ = frames.CHUNK
#: How much of the clients' input may wait for a container that does not read.
_INPUT_LIMIT = 256 << 10
#: How long output is read after the first process ended, when something outside its pid namespace keeps a pipe open.
_DRAIN_SECONDS = 2.0


class Household(Protocol):
    """What the monitor needs of the engine, opened afresh in the monitor's process."""

    def starting(self, id: str, *, attached: bool) -> AbstractContextManager[Plan | None]:
        """Hold the container, prepared for its start; ``None`` when it runs already. What fails inside is undone, and
        noted in its state."""

    def open_network(self, container: Container) -> None:
        """Make what the container needs for its next run; :meth:`left` ends it."""

    def save(self, container: Container) -> None:
        """Write the state."""

    def exited(self, id: str, code: int, *, oom_killed: bool) -> bool:
        """Record the end, by what is on disk now: others may have changed the files meanwhile. Whether the container
        is to be started again; its state is ``restarting`` then."""

    def start_check(self, id: str, request: ExecRequest) -> Execution | None:
        """Start a health check; ``None`` while the container is paused."""

    def checked(self, id: str, check: HealthCheck, result: Result) -> None:
        """Note the result of a health check."""

    def left(self, id: str) -> None:
        """Give back what a run has for itself; the file system stays mounted."""

    def restarting(self, id: str) -> AbstractContextManager[Container | None]:
        """Hold the container, prepared for another start; ``None`` when somebody has stopped or removed it."""

    def failed(self, id: str, error: Exception) -> None:
        """Another start did not work: that is the end."""

    def unmount(self, id: str) -> None: ...

    def remove(self, id: str, when_gone: Callable[[], None]) -> None:
        """``--rm``; ``when_gone`` is called before the space of its files is freed."""


class Plan(NamedTuple):
    """One start.

    :ivar container: its record.
    :ivar run: directory with the bundle.
    :ivar lock: descriptor of the run directory's lock.
    """

    container: Container
    run: RunDirectory
    runtime: RuntimeProgram
    lock: int
    cgroups_path: str
    log_path: str


def look_after(container_id: str, open_household: Callable[[], Household], client: int, *, attached: bool) -> None:
    """Start a container and stay with it to the end.

    :param client: this process's end of the socket pair to the starter.
    :param attached: whether the starter stays and gets the output.
    """
    try:
        household = open_household()
        with household.starting(container_id, attached=attached) as plan:
            if plan is None:
                os.write(client, frames.RUNS)
                return
            monitor = Monitor(plan, household, client, attached=attached)
            run = monitor.start()
    except Exception as error:
        with suppress(OSError):  # nobody is there to hear it
            os.write(client, _failure(error).encode())
        if not isinstance(error, LaminaError | OSError):
            raise
        return
    monitor.run(run)


class Monitor:
    """All runs of one container from a start by a person to the end."""

    def __init__(self, plan: Plan, household: Household, client: int, *, attached: bool) -> None:
        self._plan = plan
        self._household = household
        self._id = plan.container.id
        self._clients = Clients(plan.run.path)
        self._client = client
        self._attached = attached
        self._pauses = Pauses()
        self._wakeup = _watch_children()

    def start(self) -> Run:
        """The first run, noted as running."""
        plan = self._plan
        self._household.open_network(plan.container)
        run = self._start(plan.container)
        self._plan = plan._replace(runtime=sealing.released(plan.runtime))
        plan.container.set_running(run.pid)
        self._household.save(plan.container)
        return run

    def run(self, run: Run) -> None:
        """Tell the starter, and stay until the last run has ended."""
        starter = self._clients.add(self._client, wants_output=self._attached)
        starter.send(frames.STARTED)
        if not self._attached:
            starter.close()
        try:
            log = logdrivers.open_log(self._plan.container, self._plan.log_path)
            code = self._watch(run, log)
            log.close()
            self._finish(code)
        except BaseException as error:
            failure = _failure(error)
            with suppress(OSError):  # for whoever looks after the container next
                self._plan.run.leave_failure(failure.message)
            self._clients.dismiss(failure.encode())
            raise

    def _watch(self, run: Run, log: Log) -> int:
        """Stay with it from run to run; the last exit code."""
        household = self._household
        while True:
            begun = time.monotonic()
            code = run.relay(log, self._checker())
            # The pid is not reaped before the state says that nothing runs: nobody can signal a process that took it.
            oom_killed = cgroup.oom_killed(self._plan.cgroups_path)
            again = household.exited(self._id, code, oom_killed=oom_killed)
            _reap_all()
            # With its first process its pid namespace ended, and what the runtime keeps goes with the run directory.
            if not cgroup.remove(self._plan.cgroups_path):
                self._plan.runtime.delete(self._id, self._plan.run.path)
            household.left(self._id)
            if not again:
                return code
            self._plan.run.forget_run()
            self._clients.dismiss(frames.exited(code))
            self._pause(self._pauses.after(time.monotonic() - begun))
            following = self._start_again()
            if following is None:
                return code
            run = following

    def _checker(self) -> Checker | None:
        check = HealthCheck.of(self._plan.container.config)
        if check is None:
            return None
        from lamina.container.checking import Checker  # few containers have health checks

        return Checker(
            check,
            lambda request: self._household.start_check(self._id, request),
            lambda result: self._household.checked(self._id, check, result),
        )

    def _start_again(self) -> Run | None:
        household = self._household
        with household.restarting(self._id) as container:
            if container is None:
                return None
            try:
                household.open_network(container)
                run = self._start(container)
            except (LaminaError, OSError) as error:
                household.failed(self._id, error)
                household.left(self._id)
                return None
            container.set_running(run.pid)
            household.save(container)
            return run

    def _pause(self, seconds: float) -> None:
        """Wait before the next start; shorter when somebody wants no next start."""
        deadline = time.monotonic() + seconds
        thrift = memory.Thrift()
        while (left := deadline - time.monotonic()) > 0 and not self._plan.run.cancelled():
            poll = select.poll()
            self._clients.register(poll, reading=True)
            for descriptor, events in thrift.poll(poll, left):
                if descriptor == self._clients.listener:
                    self._clients.accept()
                elif descriptor in self._clients:
                    client = self._clients[descriptor]
                    if events & select.POLLOUT:
                        client.push()
                    if events & ~select.POLLOUT:
                        _between_runs(client, client.receive())

    def _start(self, container: Container) -> Run:
        plan = self._plan
        config = container.config
        terminal, open_stdin = bool(config.get("Tty")), bool(config.get("OpenStdin"))
        streams = Streams(terminal=terminal, open_stdin=open_stdin, null=plan.run.null_device)
        try:
            console = streams.listen_for_console(plan.run.path) if streams.terminal else None
            pid = plan.runtime.run_detached(
                self._id,
                plan.run.path,
                streams.inherited,
                command=container.command[0],
                console_socket=console,
                # Should this process be killed now, the runtime would still start the container: until it has done so
                # nobody may clean up.
                held=plan.lock,
            )
            streams.started()
        except BaseException:
            streams.close()
            raise
        return Run(pid, streams, self._clients, self._wakeup, once=bool(config.get("StdinOnce")))

    def _finish(self, code: int) -> None:
        plan, household = self._plan, self._household
        self._clients.close_listener()
        household.unmount(self._id)
        rundirectory.leave_exit_code(plan.lock, code)
        if plan.container.auto_remove:
            # Whoever waits need not wait for the disk.
            household.remove(self._id, lambda: self._clients.dismiss(frames.exited(code)))
        plan.run.remove()
        os.close(plan.lock)
        self._clients.dismiss(frames.exited(code))
        self._clients.linger()


def failure_code(error: BaseException) -> int:
    """Exit code of ``run`` for an error that ended a start."""
    return error.code if isinstance(error, RuntimeFailed) else ENGINE_FAILED


def _failure(error: BaseException) -> Failure:
    """What is said of an error that ended a start, or this process."""
    if isinstance(error, LaminaError | OSError):
        return Failure(str(error), failure_code(error))
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    where = f" ({place.tb_frame.f_code.co_filename}:{place.tb_lineno})" if place is not None else ""
    return Failure(f"the container's monitor failed: {type(error).__name__}: {error}{where}", ENGINE_FAILED)


def _between_runs(client: Client, frame: bytes) -> None:
    """A client speaks while nothing runs: only who waits for the next exit may stay."""
    if frame not in (frames.NOTHING, frames.NEXT_EXIT):
        client.close()


def _watch_children() -> int:
    """A descriptor that becomes readable when a child has ended."""
    read, write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    return read


class Run:
    """One run: from the start of the first process to its end.

    :ivar pid: of the first process.
    """

    def __init__(self, pid: int, streams: Streams, clients: Clients, wakeup: int, *, once: bool) -> None:
        self.pid = pid
        self._streams = streams
        self._clients = clients
        self._wakeup = wakeup
        self._once = once
        self._splitters = {name: jsonlog.Splitter() for name in (jsonlog.STDOUT, jsonlog.STDERR)}
        self._input = bytearray()
        self._input_ended = False
        self._code: int | None = None
        self._checker: Checker | None = None
        self._thrift = memory.Thrift()

    def relay(self, log: Log, checker: Checker | None = None) -> int:
        """Move bytes until the first process has ended and its output was read; its exit code. It is not reaped."""
        deadline = 0.0
        self._checker = checker
        while self._code is None or (self._streams.sources and time.monotonic() < deadline):
            timeout = None if self._code is None else max(0.0, deadline - time.monotonic())
            for descriptor, events in self._wait(timeout):
                self._handle(descriptor, events, log)
            if self._code is None:
                if checker is not None:
                    checker.step()
                self._code = _exit_code_of(self.pid, checker.pid if checker is not None else 0)
                deadline = time.monotonic() + _DRAIN_SECONDS
            elif self._clients.patience(time.monotonic()):  # what somebody has not taken yet must not be lost
                deadline = time.monotonic() + _DRAIN_SECONDS
        for name, splitter in self._splitters.items():
            with suppress(OSError):
                log.write(splitter.rest(), name, time.time_ns())
        self._streams.close()
        if checker is not None:
            checker.stop()
        return self._code

    def _wait(self, timeout: float | None) -> list[tuple[int, int]]:
        poll = select.poll()
        poll.register(self._wakeup, select.POLLIN)
        self._clients.register(poll, reading=len(self._input) < _INPUT_LIMIT)
        patience = self._clients.patience(time.monotonic())
        if patience:
            timeout = patience if timeout is None else min(timeout, patience)
        else:
            for source in self._streams.sources:
                poll.register(source, select.POLLIN)
        if self._input and self._streams.sink >= 0:
            poll.register(self._streams.sink, select.POLLOUT)
        if self._checker is not None and self._code is None:
            self._checker.register(poll)
            timeout = self._checker.seconds() if timeout is None else min(timeout, self._checker.seconds())
        return self._thrift.poll(poll, timeout)

    def _handle(self, descriptor: int, events: int, log: Log) -> None:
        if descriptor == self._wakeup:
            _drain(descriptor)
        elif descriptor in self._streams.sources:
            self._output(descriptor, log)
        elif descriptor in self._clients:
            self._serve(self._clients[descriptor], events)
        elif descriptor == self._streams.sink:
            self._feed()
        elif descriptor == self._clients.listener:
            self._clients.accept()
        elif self._checker is not None and descriptor in self._checker:
            self._checker.handle(descriptor)

    def _output(self, descriptor: int, log: Log) -> None:
        name = self._streams.sources[descriptor]
        data = self._streams.read(descriptor, _READ)
        if not data:
            return
        with suppress(OSError):  # a full disk costs the log, not the container
            log.write(self._splitters[name].feed(data), name, time.time_ns())
        self._clients.output((frames.OUT if name == jsonlog.STDOUT else frames.ERR) + data)

    def _serve(self, client: Client, events: int) -> None:
        """A frame from a client, or room for more to it."""
        if events & select.POLLOUT:
            client.push()
        if not events & (select.POLLIN | select.POLLHUP | select.POLLERR):
            return
        frame = client.receive()
        kind, payload = frame[:1], frame[1:]
        if kind in (frames.ATTACH, frames.ATTACH_OUTPUT):
            client.wants_output = True
            client.gives_input = kind == frames.ATTACH
            client.send(frames.STARTED)
        elif kind == frames.INPUT:
            self._input += payload
            self._feed()
        elif kind == frames.INPUT_END:
            self._end_input(client)
        elif kind == frames.RESIZE:
            rows, columns = payload.split()
            self._streams.resize(int(rows), int(columns))
        elif not frame:
            client.close()
            self._end_input(client)

    def _end_input(self, client: Client) -> None:
        """Input of a container that is attached to once ends with its client's."""
        if client.gives_input and self._once:
            self._input_ended = True
        self._feed()

    def _feed(self) -> None:
        self._streams.feed(self._input, ended=self._input_ended)


def _drain(descriptor: int) -> None:
    try:
        while os.read(descriptor, 4096):
            pass
    except BlockingIOError:
        return


def _exit_code_of(pid: int, spared: int) -> int | None:
    """Exit code of ``pid`` if it has ended, without reaping it; children that it left behind are reaped.

    :param spared: pid of a child that somebody else waits for.
    """
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
        if other is None or other.si_pid == spared:
            return None
        if other.si_pid != pid:
            os.waitpid(other.si_pid, os.WNOHANG)


def _reap_all() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return

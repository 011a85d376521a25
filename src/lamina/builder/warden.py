"""The warden: one process per build that starts the containers of ``RUN`` and outlives the build by a moment.

It is their parent (as a subreaper). When the build ends for whatever reason, ``SIGKILL`` included, the socket between
the two closes and the warden kills what still runs. One thread serves any number of containers.

Messages are JSON, one per packet. To the warden: ``{"id", "bundle", "command", "cgroup"}`` with four descriptors:
standard input, output, error, and the pipe that gets the answer: ``{"code", "oom"}`` or ``{"error", "code"}``. The
bundle is removed after that. With the last one only: ``{"network"}``, whose answer is a :class:`Place` or ``{"error",
"code"}``, and ``{"agent", "directory"}`` for an SSH agent, whose answer is ``{}``.
"""

from __future__ import annotations

import os
import select
import socket
import sys
import time
from collections.abc import Sequence
from shutil import rmtree
from threading import Lock

from lamina import json, signal
from lamina.builder.network import BuildNetwork, Place
from lamina.contextlib import suppress
from lamina.errors import LaminaError, SystemFailure
from lamina.linux import daemon, process
from lamina.runtime import cgroup, program, sealing
from lamina.runtime.program import ENGINE_FAILED, RuntimeFailed, RuntimeProgram, StandardStreams
from lamina.typing import Any, NamedTuple, NoReturn

_LARGEST = 1 << 16
_HIGHEST = 1 << 20
_DESCRIPTORS = 4
#: Name of an SSH agent's socket in its directory.
AGENT_SOCKET = "agent"


class Order(NamedTuple):
    """One container to run.

    :ivar bundle: directory with ``config.json``.
    :ivar command: the program, for messages.
    """

    id: str
    bundle: str
    command: str
    cgroup: str


class Outcome(NamedTuple):
    """How it ended."""

    code: int
    oom_killed: bool


class Warden:
    """The build's side. Made before the first container runs; close it when the build is over.

    :param held: descriptors that the warden keeps open for as long as it lives: a lock of the build's.
    :param network: for commands that are to have one of the build's own; the warden's from now on.
    """

    def __init__(self, held: tuple[int, ...] = (), network: BuildNetwork | None = None) -> None:
        runtime = program.find()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if not self.pid:
            _main(runtime, theirs, held, network)
        theirs.close()
        self._socket = ours
        self._closing = Lock()
        self._connecting = Lock()
        self._connection: Pending | None = None
        self._place: Place | None = None

    def run(self, order: Order, streams: StandardStreams) -> Pending:
        """Start one; its answer to come."""
        return self._send(order._asdict(), streams)

    def start_agent(self, program: str, directory: str) -> None:
        """Have ``ssh-agent``, at path ``program``, listen in ``directory`` until the build ends."""
        self._send({"agent": program, "directory": directory}, ()).done()

    def connect(self) -> None:
        """Have the build's network made, which takes a moment; nothing when that was asked for before."""
        with self._connecting:
            if self._connection is None:
                self._connection = self._send({"network": True}, ())

    def place(self) -> Place:
        """The build's network, as soon as it is there. Raises :class:`SystemFailure`, to everybody who asks."""
        self.connect()
        with self._connecting:
            if self._place is None:
                assert self._connection is not None
                self._place = self._connection.place()
            return self._place

    def _send(self, message: dict[str, Any], descriptors: Sequence[int]) -> Pending:
        read, write = os.pipe2(os.O_CLOEXEC)
        try:
            socket.send_fds(self._socket, [json.dumps(message).encode()], [*descriptors, write])
        except OSError as error:
            os.close(read)
            raise SystemFailure(f"the build's warden is gone: {error.strerror}") from error
        finally:
            os.close(write)
        return Pending(read)

    def close(self) -> None:
        """Kill what still runs and wait. Idempotent, from any thread."""
        with self._closing:
            if self.pid:
                self._socket.close()
                with suppress(ChildProcessError):
                    os.waitpid(self.pid, 0)
                self.pid = 0
        with self._connecting:  # whoever waits for the network has been told by now
            if self._connection is not None:
                self._connection.close()


class Pending:
    """An answer to come: of a container that runs, or is about to, or of the network. Who asks again gets the same."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._said = b""

    def close(self) -> None:
        """Nobody waits for it any more. Idempotent."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def wait(self) -> Outcome:
        """Its end. Raises :class:`RuntimeFailed` when it could not be started."""
        answer = self._answer()
        return Outcome(answer["code"], answer["oom"])

    def done(self) -> None:
        """Wait for what answers nothing."""
        self._answer()

    def place(self) -> Place:
        """What became of the network."""
        return Place(**self._answer())

    def _answer(self) -> dict[str, Any]:
        if self._descriptor >= 0:
            try:
                while data := os.read(self._descriptor, 1 << 16):
                    self._said += data
            finally:
                self.close()
        if not self._said:
            raise SystemFailure("the build's warden died")
        answer: dict[str, Any] = json.loads(self._said)
        if "error" in answer:
            raise RuntimeFailed(answer["error"], answer["code"])
        return answer


class _Running(NamedTuple):
    order: Order
    pid: int
    answer: int


def _main(
    runtime: RuntimeProgram, connection: socket.socket, held: tuple[int, ...], network: BuildNetwork | None
) -> NoReturn:
    code = 1
    try:
        daemon.leave_caller("lamina-warden", {connection.fileno(), *held})
        cgroup.join()
        try:
            _Server(sealing.sealed(runtime), connection, network).serve()
        finally:
            if network is not None:
                network.close()
        code = 0
    finally:
        os._exit(code)


class _Server:
    def __init__(self, runtime: RuntimeProgram, connection: socket.socket, network: BuildNetwork | None) -> None:
        self._runtime = runtime
        self._network = network
        self._connection = connection
        self._running: dict[int, _Running] = {}
        self._agents: list[int] = []
        self._poll = select.poll()
        self._poll.register(connection, select.POLLIN)

    def serve(self) -> None:
        """Until the build is gone."""
        open_ = True
        while open_:
            for descriptor, _ in self._poll.poll():
                if descriptor == self._connection.fileno():
                    open_ = self._order()
                else:
                    self._ended(descriptor)
        for pidfd in list(self._running):
            one = self._running[pidfd]
            self._runtime.delete(one.order.id, one.order.bundle)
            self._ended(pidfd)
        for pid in self._agents:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)

    def _order(self) -> bool:
        """Start what is asked for; ``False`` at the end."""
        try:
            data, descriptors, _, _ = socket.recv_fds(self._connection, _LARGEST, _DESCRIPTORS)
        except ConnectionError:
            return False
        if not data:
            return False
        *streams, answer = descriptors
        document = json.loads(data)
        if "network" in document:
            _answer(answer, self._connect())
            return True
        if "agent" in document:
            _answer(answer, self._start_agent(document["agent"], document["directory"]))
            return True
        order = Order(**document)
        try:
            pid = self._runtime.run_detached(order.id, order.bundle, StandardStreams(*streams), command=order.command)
            pidfd = os.pidfd_open(pid)
        except (LaminaError, OSError) as error:
            code = error.code if isinstance(error, RuntimeFailed) else ENGINE_FAILED
            _answer(answer, {"error": str(error), "code": code})
            rmtree(order.bundle, ignore_errors=True)
        else:
            self._running[pidfd] = _Running(order, pid, answer)
            self._poll.register(pidfd, select.POLLIN)
        finally:
            for descriptor in streams:
                os.close(descriptor)
        return True

    def _connect(self) -> dict[str, Any]:
        if self._network is None:
            return Place(problem="this build has none of its own")._asdict()
        try:
            return self._network.open()._asdict()
        except (LaminaError, OSError) as error:
            return {"error": str(error), "code": ENGINE_FAILED}

    def _start_agent(self, program: str, directory: str) -> dict[str, Any]:
        """Whatever becomes of this process, the agent ends with it."""
        warden = os.getpid()
        pid = os.fork()
        if not pid:
            try:
                os.closerange(3, _HIGHEST)  # answers that others wait for
                process.set_parent_death_signal(signal.SIGKILL, parent=warden)
                process.set_no_new_privileges()  # a set-group-ID program would not get that signal
                os.chdir(directory)
                os.execve(program, [program, "-D", "-a", AGENT_SOCKET], {})
            finally:
                os._exit(1)
        self._agents.append(pid)
        return {}

    def _ended(self, pidfd: int) -> None:
        one = self._running.pop(pidfd)
        with suppress(KeyError):
            self._poll.unregister(pidfd)
        os.close(pidfd)
        code = _exit_code(one.pid)
        # Its pid namespace ended with it, so nothing of it runs any more; the rest can wait.
        oom_killed = code != 0 and cgroup.oom_killed(one.order.cgroup)
        _answer(one.answer, {"code": 128 - code if code < 0 else code, "oom": oom_killed})
        if not cgroup.remove(one.order.cgroup):  # all that is left of it but the bundle, and quicker than asking crun
            self._runtime.delete(one.order.id, one.order.bundle)
        rmtree(one.order.bundle, ignore_errors=True)


def _exit_code(pid: int) -> int:
    """Of a process that has ended. For a moment it may still be the child of a helper of the runtime's."""
    while True:
        try:
            return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        except ChildProcessError:
            time.sleep(0.0005)


def _answer(descriptor: int, document: dict[str, Any]) -> None:
    with suppress(OSError):  # nobody may be there any more
        os.write(descriptor, json.dumps(document).encode())
    os.close(descriptor)

"""The warden: one process per build that starts the containers of ``RUN`` and outlives the build by a moment.

It is their parent (as a subreaper). When the build ends for whatever reason, ``SIGKILL`` included, the socket between
the two closes and the warden kills what still runs. One thread serves any number of containers.

Messages are JSON, one per packet. To the warden: ``{"id", "bundle", "command", "cgroup"}`` with four descriptors:
standard input, output, error, and the pipe that gets the answer: ``{"code", "oom"}`` or ``{"error", "code"}``. The
bundle is removed after that.
"""

from __future__ import annotations

import os
import select
import socket
import sys
import time
from contextlib import suppress
from shutil import rmtree
from threading import Lock

from lamina import json
from lamina.errors import LaminaError, SystemFailure
from lamina.linux import daemon
from lamina.runtime import cgroup, program, sealing
from lamina.runtime.program import ENGINE_FAILED, RuntimeFailed, RuntimeProgram, StandardStreams
from lamina.typing import Any, NamedTuple, NoReturn

_LARGEST = 1 << 16
_DESCRIPTORS = 4


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
    """

    def __init__(self, held: tuple[int, ...] = ()) -> None:
        runtime = program.find()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if not self.pid:
            _main(runtime, theirs, held)
        theirs.close()
        self._socket = ours
        self._closing = Lock()

    def run(self, order: Order, streams: StandardStreams) -> Pending:
        """Start one; its answer to come."""
        read, write = os.pipe2(os.O_CLOEXEC)
        try:
            socket.send_fds(self._socket, [json.dumps(order._asdict()).encode()], [*streams, write])
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


class Pending:
    """A container that runs, or is about to."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def wait(self) -> Outcome:
        """Its end. Raises :class:`RuntimeFailed` when it could not be started."""
        parts = []
        try:
            while data := os.read(self._descriptor, 1 << 16):
                parts.append(data)
        finally:
            os.close(self._descriptor)
        if not parts:
            raise SystemFailure("the build's warden died")
        answer: dict[str, Any] = json.loads(b"".join(parts))
        if "error" in answer:
            raise RuntimeFailed(answer["error"], answer["code"])
        return Outcome(answer["code"], answer["oom"])


class _Running(NamedTuple):
    order: Order
    pid: int
    answer: int


def _main(runtime: RuntimeProgram, connection: socket.socket, held: tuple[int, ...]) -> NoReturn:
    code = 1
    try:
        daemon.leave_caller("lamina-warden", {connection.fileno(), *held})
        _Server(sealing.sealed(runtime), connection).serve()
        code = 0
    finally:
        os._exit(code)


class _Server:
    def __init__(self, runtime: RuntimeProgram, connection: socket.socket) -> None:
        self._runtime = runtime
        self._connection = connection
        self._running: dict[int, _Running] = {}
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

    def _order(self) -> bool:
        """Start what is asked for; ``False`` at the end."""
        try:
            data, descriptors, _, _ = socket.recv_fds(self._connection, _LARGEST, _DESCRIPTORS)
        except ConnectionError:
            return False
        if not data:
            return False
        *streams, answer = descriptors
        order = Order(**json.loads(data))
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

"""Calling an OCI runtime: ``crun``, else ``runc``.

The runtime is asked to start a container detached, so that the caller outlives it, is the parent of the container's
first process (as a subreaper) and can read the cgroup before it is deleted.
"""

import os
import select

from lamina import json
from lamina.errors import SystemFailure, Unsupported
from lamina.linux import mount, process
from lamina.runtime import cgroup
from lamina.typing import NamedTuple

#: Where distribution packages and administrators install runtimes.
SEARCH = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
NAMES = ("crun", "runc")

#: Exit codes of ``docker run`` (Docker's "exit status" reference).
ENGINE_FAILED, NOT_EXECUTABLE, NOT_FOUND = 125, 126, 127

#: Non-empty on a hybrid host whose version 2 hierarchy has controllers: crun refuses to run there although it would use
#: only version 1. Hidden from crun, and from nobody else.
_UNIFIED_CONTROLLERS = "/sys/fs/cgroup/unified/cgroup.controllers"
_POLL_MILLISECONDS = 1
_LOG_LIMIT = 64 << 10


class RuntimeMissing(Unsupported):
    """Neither crun nor runc is installed."""


class RuntimeFailed(SystemFailure):
    """The runtime could not do it.

    :ivar code: exit code of ``run``: 127 when the program is not in the image, 126 when it can't be executed, else 125
        (Docker's API gives 128 then; its client turns it into 125).
    """

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class StandardStreams(NamedTuple):
    """Descriptors that the container inherits as 0, 1 and 2."""

    stdin: int
    stdout: int
    stderr: int


class FurtherProcess(NamedTuple):
    """A process to start in a running container.

    :ivar directory: holds ``process.json``, the runtime-spec's ``process``; the runtime adds its log.
    :ivar command: its program, for messages.
    """

    container_id: str
    bundle: str
    directory: str
    streams: StandardStreams
    command: str
    console_socket: str | None = None


#: What runtimes end with when they fail themselves, and processes, too.
_OWN_FAILURES = (1, 255)


class Entered:
    """A runtime that waits for a process in a container.

    :ivar pid: the runtime's, a child of this process.
    """

    __slots__ = ("_command", "_directory", "pid")

    def __init__(self, pid: int, directory: str, command: str) -> None:
        self.pid = pid
        self._directory = directory
        self._command = command

    def wait(self) -> int:
        """The process's exit code. Raises :class:`RuntimeFailed` when there was no process."""
        return self.result(os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1]))

    def wait_until_executed(self) -> None:
        """Wait for the process's start. Raises :class:`RuntimeFailed` when there will be none."""
        poll = select.poll()
        handle = os.pidfd_open(self.pid)
        try:
            poll.register(handle, select.POLLIN)
            while self.process() == 0:
                if poll.poll(_POLL_MILLISECONDS):
                    self.wait()
                    return
        finally:
            os.close(handle)

    def process(self) -> int:
        """The process's pid; 0 before it has executed its program."""
        try:
            with open(os.path.join(self._directory, "pid"), encoding="utf-8") as file:
                return int(file.read() or "0")
        except FileNotFoundError:
            return 0

    def result(self, code: int) -> int:
        """The same when the runtime has been waited for and ended with ``code``."""
        message = _last_message(os.path.join(self._directory, "log")) if code in _OWN_FAILURES else ""
        if message:
            raise exec_failed(explain_exec(message, self._command))
        return code


class RuntimeProgram:
    """One installed runtime.

    :ivar name: ``crun`` or ``runc``.
    :ivar path: absolute path of the program.
    """

    def __init__(self, name: str, path: str) -> None:
        self.name = name
        self.path = path

    def run_detached(
        self,
        id: str,
        bundle: str,
        streams: StandardStreams,
        *,
        command: str,
        console_socket: str | None = None,
        held: int | None = None,
    ) -> int:
        """Start the container of ``bundle``; the pid of its first process, which becomes the calling subreaper's child.

        Blocks until the program has been executed. The caller must be single-threaded.

        :param command: the container's program, for messages.
        :param held: a descriptor that stays open until the runtime has done its work, whatever happens to the caller;
            the container does not get it.
        :raises RuntimeFailed: with Docker's text; nothing of the container is left then.
        """
        pid_file = os.path.join(bundle, "pid")
        console = () if console_socket is None else ("--console-socket", console_socket)
        arguments = ("run", "--detach", "--bundle", bundle, "--pid-file", pid_file, *console, id)
        status = self._call(bundle, arguments, streams, held)
        if status == 0:
            with open(pid_file, encoding="utf-8") as file:
                return int(file.read())
        failure = self._failure(bundle, command)
        self.delete(id, bundle)
        raise failure

    def delete(self, id: str, bundle: str) -> None:
        """Kill what is left of the container and remove its cgroup and state. Idempotent."""
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        try:
            self._call(bundle, ("delete", "--force", id), StandardStreams(null, null, null))
        finally:
            os.close(null)

    def update(self, id: str, bundle: str, resources: dict[str, object]) -> None:
        """Change limits of a running container: ``linux.resources``. Raises :class:`RuntimeFailed`."""
        path = os.path.join(bundle, "resources.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump(resources, file)
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        try:
            status = self._call(bundle, ("update", "--resources", path, id), StandardStreams(null, null, null))
        finally:
            os.close(null)
        if status != 0:
            reason = _last_message(os.path.join(bundle, "log")) or f"exit status {status}"
            raise RuntimeFailed(f"{self.name} did not terminate successfully: {reason}: unknown", ENGINE_FAILED)

    def enter(self, further: FurtherProcess) -> Entered:
        """Start a process in a running container.

        The runtime waits for the process, in a session of its own: neither the caller's end nor a key at its terminal
        stops it.
        """
        directory = further.directory
        console = () if further.console_socket is None else ("--console-socket", further.console_socket)
        process_file = os.path.join(directory, "process.json")
        pid_file = os.path.join(directory, "pid")
        arguments = ("exec", "--process", process_file, "--pid-file", pid_file, *console, further.container_id)
        log = os.path.join(directory, "log")
        pid = self._spawn(further.bundle, arguments, further.streams, log=log, session=True)
        return Entered(pid, directory, further.command)

    def _call(self, bundle: str, arguments: tuple[str, ...], streams: StandardStreams, held: int | None = None) -> int:
        """Run the program with ``arguments``; its exit status. What it says goes to ``<bundle>/log``."""
        pid = self._spawn(bundle, arguments, streams, log=os.path.join(bundle, "log"), held=held)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def _spawn(
        self,
        bundle: str,
        arguments: tuple[str, ...],
        streams: StandardStreams,
        *,
        log: str,
        held: int | None = None,
        session: bool = False,
    ) -> int:
        if self.name == "crun":
            log = f"file:{log}"  # what comes before a colon says what kind of log it is
        command = [self.path, "--root", os.path.join(bundle, "state"), "--log", log]
        command += ["--log-format", "json"]
        if self.name == "crun" and not cgroup.is_writable():
            command.append("--cgroup-manager=disabled")
        command += arguments
        actions = [(os.POSIX_SPAWN_DUP2, source, target) for target, source in enumerate(streams)]
        if held is not None:
            actions.append((os.POSIX_SPAWN_DUP2, held, 3))  # runtimes close what is above 2 in the container
        # The second is where crun has a file for a moment that shows its own program: it goes with the rest.
        environment = {"PATH": ":".join(SEARCH), "_LIBCONTAINER_STATEDIR": bundle}
        with _Surroundings():
            return os.posix_spawn(
                self.path,
                command,
                environment,
                file_actions=actions,
                setsigmask=(),
                setsigdef=_DEFAULT_SIGNALS,
                setsid=session,
            )

    def _failure(self, bundle: str, command: str) -> RuntimeFailed:
        reason, code = explain(_last_message(os.path.join(bundle, "log")), command)
        return RuntimeFailed(
            f"failed to create shim task: OCI runtime create failed: {self.name} create failed: {reason}: unknown", code
        )


# SIGPIPE and SIGXFSZ, which Python ignores and a container must not inherit ignored.
_DEFAULT_SIGNALS = (13, 25)


class _Surroundings:
    """A mount namespace of its own for the time of a ``spawn``, where crun finds a cgroup layout that it accepts.

    The namespace lives on in the child only. Nothing is done where the file is not in the way.
    """

    def __init__(self) -> None:
        self._home = -1

    def __enter__(self) -> None:
        if not _hybrid():
            return
        self._home = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        process.unshare(process.CLONE_NEWNS)
        # Only there, and nowhere else: what a container mounts in an ``rshared`` bind mount is to reach the host.
        mount.set_propagation(os.path.dirname(_UNIFIED_CONTROLLERS), mount.MS_PRIVATE)
        mount.bind(os.devnull, _UNIFIED_CONTROLLERS)

    def __exit__(self, *_: object) -> None:
        if self._home >= 0:
            process.setns(self._home)
            os.close(self._home)


def _hybrid() -> bool:
    try:
        with open(_UNIFIED_CONTROLLERS, "rb") as file:
            return bool(file.read(1))
    except OSError:
        return False


def find(names: tuple[str, ...] = NAMES, search: tuple[str, ...] = SEARCH) -> RuntimeProgram:
    """The first of ``names`` that is installed. Raises :class:`RuntimeMissing`."""
    for name in names:
        for directory in search:
            path = os.path.join(directory, name)
            if os.access(path, os.X_OK):
                return RuntimeProgram(name, path)
    raise RuntimeMissing(f"no OCI runtime found: install {' or '.join(names)}")


def _last_message(path: str) -> str:
    """Message of the last line of a runtime's JSON log."""
    try:
        with open(path, "rb") as file:
            lines = file.read(_LOG_LIMIT).splitlines()
    except OSError:
        return ""
    for line in reversed(lines):
        try:
            message = json.loads(line)["msg"]
        except (ValueError, KeyError, TypeError):
            message = line.decode(errors="replace")
        if message:
            return str(message)
    return ""


_MISSING = "no such file or directory"
_DENIED = ("permission denied", "operation not permitted", "is a directory", "exec format error")


def explain(message: str, command: str) -> tuple[str, int]:
    """A runtime's message as Docker words it, and the exit code of ``run``."""
    prefix = f'unable to start container process: exec: "{command}"'
    said = message.strip().lower()
    program = "exec" in said or "unable to start container process" in said
    if "not found in $path" in said:
        if "/" in command:
            return f"{prefix}: stat {command}: no such file or directory", NOT_FOUND
        return f"{prefix}: executable file not found in $PATH", NOT_FOUND
    if program and _MISSING in said:
        return f"{prefix}: stat {command}: no such file or directory", NOT_FOUND
    if program and said.endswith(_DENIED):
        reason = "exec format error" if "format" in said else "permission denied"
        return f"{prefix}: {reason}", NOT_EXECUTABLE
    return message or "the runtime gave no reason", ENGINE_FAILED


def exec_failed(reason: str) -> RuntimeFailed:
    """Why ``exec`` did not work, as Docker says it; exit code 126 whatever it was."""
    return RuntimeFailed(f"OCI runtime exec failed: exec failed: {reason}: unknown", NOT_EXECUTABLE)


def explain_exec(message: str, command: str) -> str:
    """A runtime's message about ``exec`` as Docker words it."""
    if not command:
        message = "not found in $PATH"
    reason, code = explain(message, command)
    if code == ENGINE_FAILED and reason.startswith("chdir "):
        path, _, why = reason.removeprefix("chdir `").partition("`: ")
        reason = f'unable to start container process: chdir to cwd ("{path}") set in config.json failed: {why.lower()}'
    return reason

"""One more process in a running container: ``exec``.

The runtime starts it in the container's namespaces and control groups, with the filter of system calls and the rights
that the container was started with, and waits for it. It dies with the container's first process, whose pid namespace
it is in.
"""

import os
import select
import time
from collections.abc import Mapping

from lamina import atomicfile, events, json
from lamina.container import users
from lamina.container.detaching import Detached, DetachKeys
from lamina.container.jsonlog import STDERR, STDOUT
from lamina.container.record import Container
from lamina.container.rundirectory import RunDirectory
from lamina.container.states import NotRunning
from lamina.container.streams import Streams
from lamina.contextlib import suppress
from lamina.dataroot import DataRoot
from lamina.errors import InvalidArgument
from lamina.events import Teller
from lamina.graphdriver.removal import remove_tree
from lamina.linux import daemon, openat2, process
from lamina.runtime import cgroup
from lamina.runtime.program import Entered, FurtherProcess, RuntimeProgram, exec_failed
from lamina.typing import Any, NamedTuple

#: Subdirectory of a run directory with one directory for each process, named by its id.
DIRECTORY = "exec"
_CHUNK = 32 << 10
#: How the runtime begins to complain, to the process's standard error too. It is told by what is raised.
_RUNTIMES_WORDS = (b"executable file `", b"open executable", b"chdir `", b"exec ")
_RED = b"\x1b[1;31m"
#: How long output is read after the process ended, when another one keeps a pipe open.
_DRAIN_SECONDS = 2.0


class ExecRequest(NamedTuple):
    """What ``POST /containers/{id}/exec`` says.

    :ivar environment: ``NAME=value``; added to the container's own.
    :ivar user: ``""`` for the container's.
    :ivar working_directory: absolute; ``""`` for the container's.
    :ivar open_stdin: whether it gets input, else it has none.
    """

    command: tuple[str, ...]
    environment: tuple[str, ...] = ()
    user: str = ""
    working_directory: str = ""
    terminal: bool = False
    open_stdin: bool = False
    privileged: bool = False


class Place(NamedTuple):
    """Where a container runs, and what runs it. ``root``: where its events are noted."""

    root: DataRoot
    run: RunDirectory
    runtime: RuntimeProgram


class Execution:
    """A process that the caller exchanges bytes with: :meth:`relay` to its end.

    :param tell: notes for ``events`` what happened to it, with the event's attributes.
    """

    def __init__(self, streams: Streams, directory: str, entered: Entered, tell: Teller) -> None:
        self._tell = tell
        self.streams = streams
        self.directory = directory
        self.entered = entered
        self._input = bytearray()
        self._input_ended = False
        self._suspect = b""
        self._is_first = True

    def relay(self, stdin: int | None, stdout: int, stderr: int, keys: DetachKeys | None = None) -> int:
        """Move bytes until the process has ended; its exit code.

        :param keys: watched in the input; ``None`` watches none.
        :raises RuntimeFailed: it was never executed. :raises Detached: a child of this process goes on reading then.
        """
        targets: dict[str, int | None] = {STDOUT: stdout, STDERR: stderr}
        handle = os.pidfd_open(self.entered.pid)
        try:
            self._relay(handle, stdin, targets, keys)
            code = self.entered.wait()
            self.ended(code)
            if self._suspect:
                self._write(self._suspect_name(), self._suspect, targets)
        except Detached:
            self._tell("exec_detach")
            self.leave()
            self.streams.close()
            raise
        except BaseException:
            self.close()
            raise
        finally:
            os.close(handle)
        self.close()
        return code

    def _relay(self, handle: int, stdin: int | None, targets: dict[str, int | None], keys: DetachKeys | None) -> None:
        streams = self.streams
        deadline: float | None = None
        while deadline is None or (streams.sources and time.monotonic() < deadline):
            poll = select.poll()
            for source in streams.sources:
                poll.register(source, select.POLLIN)
            if deadline is None:
                poll.register(handle, select.POLLIN)
                if stdin is not None and not self._input and not self._input_ended:
                    poll.register(stdin, select.POLLIN)
                if self._input and streams.sink >= 0:
                    poll.register(streams.sink, select.POLLOUT)
            timeout = None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000
            for descriptor, _ in poll.poll(timeout):
                if descriptor in streams.sources:
                    self._deliver(descriptor, targets)
                elif descriptor == stdin:
                    self._take(stdin, keys)
                elif descriptor == streams.sink:
                    self._feed()
                elif descriptor == handle:
                    deadline = time.monotonic() + _DRAIN_SECONDS

    def _deliver(self, source: int, targets: dict[str, int | None]) -> None:
        name = self.streams.sources[source]
        data = self.streams.read(source, _CHUNK)
        if not data:
            return
        if self._is_first and data.removeprefix(_RED).startswith(_RUNTIMES_WORDS):
            self._suspect = data
        elif self._suspect:
            self._write(self._suspect_name(), self._suspect, targets)
            self._suspect = b""
            self._write(name, data, targets)
        else:
            self._write(name, data, targets)
        self._is_first = False

    def _suspect_name(self) -> str:
        return STDOUT if self.streams.terminal else STDERR

    def _write(self, name: str, data: bytes, targets: dict[str, int | None]) -> None:
        target = targets[name]
        if target is not None:
            try:
                atomicfile.write_all(target, data)
            except BrokenPipeError:
                targets[name] = None

    def _take(self, stdin: int, keys: DetachKeys | None) -> None:
        try:
            data = os.read(stdin, _CHUNK)
        except OSError:
            data = b""
        self._input_ended = not data
        if keys is not None and data:
            data, detached = keys.feed(data)
            if detached:
                raise Detached
        self._input += data
        self._feed()

    def _feed(self) -> None:
        self.streams.feed(self._input, ended=self._input_ended)

    def ended(self, code: int) -> None:
        """Note for ``events`` that it has ended, for those who don't relay."""
        self._tell("exec_die", {"exitCode": str(code)})

    def leave(self) -> None:
        """Let a child read what nobody wants any more: the process must not lose its terminal."""
        here, there = os.pipe2(os.O_CLOEXEC)
        if os.fork():
            # The end of this process is the end of its terminal for all that have not left its session.
            os.close(there)
            os.read(here, 1)
            os.close(here)
            return
        try:
            handle = os.pidfd_open(self.entered.pid)
            daemon.leave_caller("lamina-exec", {handle, *self.streams.descriptors()})
            self._relay(handle, None, {STDOUT: None, STDERR: None}, None)
            self.close()
        finally:
            os._exit(0)

    def close(self) -> None:
        """Close the streams and remove the files."""
        self.streams.close()
        _forget(self.directory)


def start(container: Container, place: Place, request: ExecRequest) -> Execution:
    """Start a process in a running container; the caller has checked that it may be.

    :raises NotRunning: it has ended meanwhile.
    :raises RuntimeFailed: with Docker's text.
    """
    return _start(container, place, request, discard=False)


def _start(container: Container, place: Place, request: ExecRequest, *, discard: bool) -> Execution:
    id = os.urandom(32).hex()

    def tell(action: str, attributes: Mapping[str, str] | None = None, /) -> None:
        events.note(place.root, container, action, {**(attributes or {}), "execID": id})

    command = f"{request.command[0]} {' '.join(request.command[1:])}"
    tell(f"exec_create: {command}")
    tell(f"exec_start: {command}")
    directory = _prepare(container, place.run, id, request)
    streams = Streams(
        terminal=request.terminal, open_stdin=request.open_stdin, discard=discard, null=place.run.null_device
    )
    try:
        console = streams.listen_for_console(directory) if request.terminal else None
        further = FurtherProcess(
            container.id, place.run.path, directory, streams.inherited, request.command[0], console
        )
        cgroup.join()
        entered = place.runtime.enter(further)
        streams.entered(entered.pid)
    except BaseException:
        streams.close()
        _forget(directory)
        raise
    return Execution(streams, directory, entered, tell)


def start_detached(container: Container, place: Place, request: ExecRequest) -> None:
    """The same for a process that nobody watches: it has no input and its output is dropped.

    Returns when the program has been executed. Raises as :func:`start`.
    """
    execution = _start(container, place, request, discard=not request.terminal)
    try:
        execution.entered.wait_until_executed()
        if request.terminal:
            execution.leave()
    finally:
        execution.close()


def ids(run: RunDirectory) -> list[str]:
    """``ExecIDs`` of ``inspect``: of the processes that run now."""
    try:
        return sorted(os.listdir(run.sub(DIRECTORY)))
    except FileNotFoundError:
        return []


def _prepare(container: Container, run: RunDirectory, id: str, request: ExecRequest) -> str:
    """Write what the runtime reads; the directory that it is in."""
    if any("\0" in text for text in (*request.command, *request.environment, request.working_directory)):
        raise InvalidArgument("invalid command: a text with a NUL byte")
    directory = run.sub(f"{DIRECTORY}/{id}")
    try:
        document = _document(container, run, request)
        os.makedirs(directory, 0o700)
        with open(f"{directory}/process.json", "w", encoding="utf-8", errors="surrogateescape") as file:
            json.dump(document, file, ensure_ascii=False)
    except FileNotFoundError:
        raise NotRunning(container.id) from None
    return directory


def _document(container: Container, run: RunDirectory, request: ExecRequest) -> dict[str, Any]:
    """``process`` of the runtime-spec: the container's own with what the request changes."""
    with open(run.sub("config.json"), encoding="utf-8", errors="surrogateescape") as file:
        document: dict[str, Any] = json.load(file)["process"]
    directory = request.working_directory or document["cwd"]
    if not directory.startswith("/"):
        raise exec_failed("Cwd must be an absolute path")
    root = os.open(f"/proc/{container.pid}/root", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if request.working_directory:
            _check_directory(root, directory)
        if request.user:
            user = users.resolve(root, request.user, tuple(map(str, container.host_config.get("GroupAdd") or ())))
            document["user"] = {"uid": user.uid, "gid": user.gid, "additionalGids": user.additional_gids}
    finally:
        os.close(root)
    document.update(
        args=request.command,
        cwd=directory,
        env=_variables(container, document["env"], request),
        terminal=request.terminal,
    )
    if document.get("apparmorProfile"):
        from lamina.runtime import apparmor  # many hosts have none

        if not apparmor.ensure(document["apparmorProfile"]):
            raise exec_failed(apparmor.not_loaded(document["apparmorProfile"]))
    if request.privileged:
        # Docker asks for every capability there is, and fails where the host lacks one.
        every = sorted(process.bounding_capabilities())
        document["capabilities"] = dict.fromkeys(("bounding", "effective", "permitted", "inheritable"), every)
    return document


def _check_directory(root: int, path: str) -> None:
    """``/proc/self/fd/7`` is a door to whatever the runtime has open (CVE-2024-21626), directly or behind a link."""
    try:
        os.close(openat2.open_in_root(root, path, os.O_PATH | os.O_DIRECTORY))
    except OSError as error:
        reason = (error.strerror or "").lower()
        raise exec_failed(
            f'unable to start container process: chdir to cwd ("{path}") set in config.json failed: {reason}'
        ) from None


def _variables(container: Container, started_with: list[str], request: ExecRequest) -> list[str]:
    """The container's environment with the request's entries in their place or behind."""
    entries = {entry.partition("=")[0]: entry for entry in started_with}
    if not any(entry.startswith("TERM=") for entry in container.config.get("Env") or ()):
        entries.pop("TERM", None)
        if request.terminal:
            entries["TERM"] = "TERM=xterm"
    for entry in request.environment:
        name, equals, _ = entry.partition("=")
        if equals:
            entries[name] = entry
        else:
            entries.pop(name, None)
    return list(entries.values())


def _forget(directory: str) -> None:
    with suppress(OSError):
        remove_tree(directory)

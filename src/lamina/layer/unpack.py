"""Unpacking a layer beside the caller: small ones here, large ones in a process of their own.

Nothing is decided before there is reason to: the first bytes are kept, and only when there are more of them than a
small layer has is a worker started (about 80 ms of a core). What is small is unpacked at the end, in a thread because
the umask must be 0 meanwhile and a thread can have its own. A middling layer costs less here than a worker does, but
two of them would be in each other's way: the first is unpacked here, those beside it by workers.
"""

from __future__ import annotations

import os
import sys
from _thread import allocate_lock

from lamina import errors, json
from lamina.digest import DiffID
from lamina.layer.contract import UnpackResult
from lamina.layer.pipeline import UnpackTarget, unpack
from lamina.linux.process import CLONE_FS, call_in_thread, unshare
from lamina.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import socket
    from subprocess import Popen

__all__ = ["UnpackTarget", "start_unpack", "unpack_here"]

#: Bytes, as they come, up to which a layer is small, and up to which it is middling.
SMALL = 1 << 20
MIDDLING = 8 << 20

# sys/socket.h; the module of that name is imported when a worker is started.
_SHUT_WR = 1
_MSG_NOSIGNAL = 0x4000

#: What the worker runs. Its module path is the parent's, so that it needs neither ``site`` nor the environment.
_START = (
    "import sys, json; s = json.loads(sys.argv[1]); sys.path[:] = s['path']; import lamina.layer.worker as w; w.main(s)"
)


def start_unpack(target: UnpackTarget, *, expected_size_hint: int | None = None) -> Job:
    """Begin to fill ``target`` with a layer.

    :param expected_size_hint: compressed bytes to come, if known: a large one starts the worker right away.
    """
    job = Job(target)
    if expected_size_hint is not None and expected_size_hint > MIDDLING:
        job.start_worker()
    return job


#: Whoever holds it unpacks a middling layer in this process.
_middling = allocate_lock()


def unpack_here(chunks: list[bytes], target: UnpackTarget) -> UnpackResult:
    """Unpack in this process, in a thread with its own umask, and wait. Raises what unpacking raises."""

    def body() -> UnpackResult:
        unshare(CLONE_FS)
        os.umask(0)
        return unpack(chunks, target)

    return call_in_thread(body, "lamina-unpack")


class Job:
    """An :class:`~lamina.layer.contract.UnpackJob`."""

    def __init__(self, target: UnpackTarget) -> None:
        self._closing = allocate_lock()
        self._target = target
        self._kept: list[bytes] = []
        self._kept_size = 0
        self._process: Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._answer = -1
        self._ended = False
        self._alone = False

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        if self._ended:
            raise errors.Cancelled("unpack: the job has ended")
        if self._socket is not None:
            self._send(data)
            return
        self._kept.append(bytes(data))
        self._kept_size += len(data)
        if self._kept_size > SMALL and not self._stays_here():
            self.start_worker()

    def _stays_here(self) -> bool:
        """Whether what is more than small is unpacked here all the same."""
        if self._kept_size > MIDDLING:
            self._make_room()
            return False
        self._alone = self._alone or _middling.acquire(blocking=False)
        return self._alone

    def _make_room(self) -> None:
        """Let another middling layer be unpacked here."""
        with self._closing:
            alone, self._alone = self._alone, False
        if alone:
            _middling.release()

    def finish(self) -> UnpackResult:
        if self._ended:
            raise errors.Cancelled("unpack: the job has ended")
        if self._socket is None:
            self._ended = True
            kept, self._kept = self._kept, []
            try:
                return unpack_here(kept, self._target)
            finally:
                self._make_room()
        self._socket.shutdown(_SHUT_WR)
        return self._outcome()

    def abort(self) -> None:
        """See the contract; may be called while another thread feeds, whose call raises ``Cancelled`` then."""
        self._kept.clear()
        self._ended = True
        if self._process is not None:
            self._process.kill()
        with self._closing:
            self._close()
        self._make_room()

    def start_worker(self) -> None:
        """Run the rest in a process of its own, and give it what was fed so far."""
        import socket
        from subprocess import DEVNULL, Popen

        ours, theirs = socket.socketpair()
        answer_read, answer_write = os.pipe()
        specification = {
            "directory": self._target.directory,
            "form": self._target.form.value,
            "tar_split_path": self._target.tar_split_path,
            "owners": self._target.owners,
            "answer": answer_write,
            "parent": os.getpid(),
            "path": sys.path,
        }
        try:
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL)
            self._process = Popen(
                [sys.executable, "-I", "-S", "-c", _START, json.dumps(specification)],
                stdin=theirs.fileno(),
                stdout=DEVNULL,
                stderr=DEVNULL,
                pass_fds=(answer_write, *self._target.inherit),
            )
        except BaseException:
            ours.close()
            os.close(answer_read)
            raise
        finally:
            theirs.close()
            os.close(answer_write)
        self._socket, self._answer = ours, answer_read
        kept, self._kept = self._kept, []
        for data in kept:
            self._send(data)

    def _send(self, data: bytes | bytearray | memoryview) -> None:
        connection = self._socket
        if connection is None:
            raise errors.Cancelled("unpack: aborted")
        try:
            connection.sendall(data, _MSG_NOSIGNAL)
        except OSError:  # it has ended before the stream did, and says why
            self._outcome()
            raise errors.SystemFailure("unpack: the worker ended early") from None

    def _outcome(self) -> UnpackResult:
        """Wait for the worker's answer; raise the error that it names."""
        parts = []
        process = self._process
        assert process is not None
        with self._closing:
            if self._socket is None:
                raise errors.Cancelled("unpack: aborted")
            while part := os.read(self._answer, 1 << 16):
                parts.append(part)
            self._close()
        return parse_answer(b"".join(parts), process.returncode)

    def _close(self) -> None:
        """Release everything and wait for the worker's end."""
        self._ended = True
        if self._socket is not None:
            self._socket.close()
            self._socket = None
            os.close(self._answer)
        if self._process is not None:
            self._process.wait()


def parse_answer(line: bytes, status: int) -> UnpackResult:
    """The worker's result. Raises the error it reports, or ``SystemFailure`` when it died without a word."""
    try:
        answer: dict[str, Any] = json.loads(line)
    except ValueError:
        raise errors.SystemFailure(f"unpack: the worker ended with status {status} and no answer") from None
    if "error" in answer:
        kind = getattr(errors, answer["error"], errors.SystemFailure)
        raise kind(answer["message"])
    return UnpackResult(DiffID(answer["diff_id"]), answer["size"], answer["tar_size"])

"""What the monitor and an attached client say to each other, over a ``SOCK_SEQPACKET`` pair.

One packet is one frame: a letter and its payload. Packets keep their borders and order, so that output, the exit code
and everything else arrive as they were sent.
"""

from __future__ import annotations

import os
from _socket import AF_UNIX, SOCK_SEQPACKET, socket, socketpair
from collections.abc import Callable

from lamina import json
from lamina.typing import NamedTuple

#: Most bytes of output or input in one frame.
CHUNK = 32 << 10

# From the monitor
STARTED, FAILED, OUT, ERR, EXITED = b"S", b"F", b"O", b"E", b"X"
#: In place of :data:`STARTED`: the container runs already.
RUNS = b"R"
# From the client
#: The very first frame: the id of the container to start, for a client that stays, or one that does not.
BEGIN_ATTACHED, BEGIN = b"B", b"b"
INPUT, INPUT_END, RESIZE = b"I", b"C", b"W"
#: The first frame of a client that came later: ``b"A"`` to get output and give input, ``b"a"`` for output only,
#: ``b"N"`` to learn the next exit code only, ``b"K"`` to end the wait for the next start.
ATTACH, ATTACH_OUTPUT, NEXT_EXIT, CANCEL = b"A", b"a", b"N", b"K"
#: Never sent.
NOTHING = b"-"


class Failure(NamedTuple):
    """Payload of :data:`FAILED`: why the container did not start, or is left alone, and the exit code of ``run``."""

    message: str
    code: int

    def encode(self) -> bytes:
        return FAILED + json.dumps(self).encode()

    @classmethod
    def decode(cls, frame: bytes) -> Failure:
        message, code = json.loads(frame[1:])
        return cls(message, code)


def pair() -> tuple[int, int]:
    """Descriptors of the two ends; ``read(2)`` and ``write(2)`` move whole frames."""
    one, other = socketpair(AF_UNIX, SOCK_SEQPACKET)
    return one.detach(), other.detach()


def exited(code: int) -> bytes:
    return EXITED + str(code).encode()


def resize(rows: int, columns: int) -> bytes:
    return RESIZE + f"{rows} {columns}".encode()


#: Name of the socket in a run directory.
_SOCKET = "attach"
_BACKLOG = 64


def listen(directory: str) -> socket:
    """The socket of a run directory on which clients come; it does not block."""
    listener = socket(AF_UNIX, SOCK_SEQPACKET)
    listener.setblocking(False)
    _with_short_path(directory, listener.bind)
    listener.listen(_BACKLOG)
    return listener


def connect(directory: str) -> int:
    """A descriptor that is connected to the monitor of a run directory. Raises :class:`OSError` when there is none."""
    connection = socket(AF_UNIX, SOCK_SEQPACKET)
    try:
        _with_short_path(directory, connection.connect)
        return connection.detach()
    finally:
        connection.close()


def _with_short_path(directory: str, action: Callable[[str], object]) -> None:
    """A socket's address holds 107 bytes, a data root's path may be longer: a way through /proc is short."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        action(f"/proc/self/fd/{handle}/{_SOCKET}")
    finally:
        os.close(handle)

"""What the monitor and an attached client say to each other, over a ``SOCK_SEQPACKET`` pair.

One packet is one frame: a letter and its payload. Packets keep their borders and order, so that output, the exit code
and everything else arrive as they were sent.
"""

from __future__ import annotations

import json
from _socket import AF_UNIX, SOCK_SEQPACKET, socketpair
from typing import NamedTuple

#: Most bytes of output or input in one frame.
CHUNK = 32 << 10

# From the monitor
STARTED, FAILED, OUT, ERR, EXITED = b"S", b"F", b"O", b"E", b"X"
# From the client
INPUT, INPUT_END, RESIZE = b"I", b"C", b"W"
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

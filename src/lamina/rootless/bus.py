"""Method calls to a user's systemd over D-Bus, as far as control groups need them.

Formats: the D-Bus specification, "Message Protocol" and "Authentication Protocol" (``EXTERNAL``).
"""

from __future__ import annotations

import socket
import struct

from lamina.errors import SystemFailure
from lamina.typing import NamedTuple, Self

_SYSTEMD = "org.freedesktop.systemd1"
_BUS = "org.freedesktop.DBus"
_CALL, _RETURN, _ERROR = 1, 2, 3
#: Header fields.
_PATH, _INTERFACE, _MEMBER, _NAME, _REPLY_TO, _TO, _SIGNATURE = 1, 2, 3, 4, 5, 6, 8
#: The protocol's own limit is 128 MiB; no answer that is read here has more than some names.
_LARGEST = 1 << 20
#: Seconds. systemd answers at once.
_TIMEOUT = 10.0


class BusFailed(SystemFailure):
    """There is no bus, or systemd refused."""


class _Method(NamedTuple):
    """A method: whose, of which object and interface, and its name."""

    to: str
    path: str
    interface: str
    member: str


class Body:
    """Arguments of a call in their order, little-endian, each aligned to its size."""

    def __init__(self) -> None:
        self.data = bytearray()

    def align(self, size: int) -> Self:
        """Before a structure: 8."""
        self.data += bytes(-len(self.data) % size)
        return self

    def number(self, value: int) -> Self:
        """A ``u`` or ``b``."""
        self.align(4).data += struct.pack("<I", value)
        return self

    def text(self, value: str) -> Self:
        """An ``s`` or ``o``."""
        encoded = value.encode()
        self.number(len(encoded)).data += encoded + b"\0"
        return self

    def signature(self, value: str) -> Self:
        """A ``g``, or the head of a variant."""
        self.data += bytes([len(value)]) + value.encode() + b"\0"
        return self

    def array(self, content: Body, alignment: int) -> Self:
        """``content``, made as if it began at a multiple of ``alignment``, as an array of what is aligned so."""
        self.number(len(content.data)).align(alignment).data += content.data
        return self

    def numbers(self, *values: int) -> Self:
        """An ``au``."""
        content = Body()
        for value in values:
            content.number(value)
        return self.array(content, 4)


class Bus:
    """A connection to a user's bus. A context manager; everything raises :class:`BusFailed`."""

    def __init__(self, path: str, uid: int) -> None:
        """
        :param path: of the socket.
        :param uid: of the user, outside any namespace.
        """
        self._path = path
        self._serial = 0
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            self._socket.settimeout(_TIMEOUT)
            self._connect(uid)
            self._call(_Method(_BUS, "/org/freedesktop/DBus", _BUS, "Hello"), "", Body())
        except BaseException:
            self._socket.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def manager(self, member: str, signature: str, body: Body) -> None:
        """Call a method of systemd's manager (``org.freedesktop.systemd1(5)``); what it returns is dropped."""
        self._call(_Method(_SYSTEMD, "/org/freedesktop/systemd1", f"{_SYSTEMD}.Manager", member), signature, body)

    def _connect(self, uid: int) -> None:
        try:
            self._socket.connect(self._path)
        except OSError as error:
            raise BusFailed(f"{self._path}: {error.strerror or error}") from error
        self._send(f"\0AUTH EXTERNAL {str(uid).encode().hex()}\r\n".encode())
        answer = b""
        while not answer.endswith(b"\r\n") and len(answer) < 1024:
            answer += self._receive(1)
        if not answer.startswith(b"OK "):
            raise BusFailed(f"{self._path}: the bus answers {answer.decode(errors='replace').strip()}")
        self._send(b"BEGIN\r\n")

    def _call(self, method: _Method, signature: str, body: Body) -> None:
        self._serial += 1
        self._send(_head(self._serial, method, signature, len(body.data)) + bytes(body.data))
        while True:
            kind, fields, answer = self._message()
            if fields.get(_REPLY_TO) != self._serial or kind not in (_RETURN, _ERROR):
                continue  # signals
            if kind == _RETURN:
                return
            raise BusFailed(f"{method.member}: {_first_text(answer) or fields.get(_NAME, 'it failed')}")

    def _message(self) -> tuple[int, dict[int, str | int], bytes]:
        """Type, header fields and body of the next message. A bus passes on what its own machine's programs send."""
        start = self._receive(16)
        if start[:1] != b"l":
            raise BusFailed(f"{self._path}: a message in another byte order")
        size, _, length = struct.unpack_from("<III", start, 4)
        if size > _LARGEST or length > _LARGEST:
            raise BusFailed(f"{self._path}: a message of {size + length} bytes")
        fields = _fields(self._receive(length + -length % 8)[:length])
        return start[1], fields, self._receive(size)

    def _send(self, data: bytes) -> None:
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise BusFailed(f"{self._path}: {error.strerror or error}") from error

    def _receive(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            try:
                piece = self._socket.recv(size - len(data))
            except OSError as error:
                raise BusFailed(f"{self._path}: {error.strerror or error}") from error
            if not piece:
                raise BusFailed(f"{self._path}: the bus has closed the connection")
            data += piece
        return data


def _head(serial: int, method: _Method, signature: str, size: int) -> bytes:
    """All of a call but its arguments, which are ``size`` bytes of the types ``signature``."""
    fields = Body()
    texts = ((_PATH, "o", method.path), (_INTERFACE, "s", method.interface), (_MEMBER, "s", method.member))
    for code, kind, value in (*texts, (_TO, "s", method.to)):
        fields.align(8).data.append(code)
        fields.signature(kind).text(value)
    if signature:
        fields.align(8).data.append(_SIGNATURE)
        fields.signature("g").signature(signature)
    head = Body()
    head.data += b"l" + bytes([_CALL, 0, 1])
    return bytes(head.number(size).number(serial).array(fields, 8).align(8).data)


def _fields(data: bytes) -> dict[int, str | int]:
    """Header fields by code."""
    found: dict[int, str | int] = {}
    at = 0
    try:
        while at < len(data):
            at += -at % 8
            code, kind = data[at], data[at + 2 : at + 3]
            at += 4  # the code; the signature of one character with its length and end
            if kind == b"g":
                at += data[at] + 2
                continue
            (number,) = struct.unpack_from("<I", data, at)
            at += 4
            if kind == b"u":
                found[code] = number
            else:
                found[code] = data[at : at + number].decode(errors="replace")
                at += number + 1
    except (IndexError, struct.error):
        raise BusFailed("the bus sends what is no message") from None
    return found


def _first_text(body: bytes) -> str:
    """The first argument of an error, which is its message."""
    if len(body) < 4:
        return ""
    (length,) = struct.unpack_from("<I", body)
    return body[4 : 4 + length].decode(errors="replace")

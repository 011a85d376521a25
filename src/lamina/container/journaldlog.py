"""The log driver ``journald``: one datagram to systemd's journal for each line.

Source: systemd's "Native Journal Protocol" page; the fields are those of Docker's driver.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping

from lamina.contextlib import suppress

SOCKET = "/run/systemd/journal/socket"
_PRIORITIES = {"stdout": "6", "stderr": "3"}


class Writer:
    """Sends to the journal.

    :param fields: of every entry.
    :raises OSError: there is no journal.
    """

    def __init__(self, fields: Mapping[str, str], path: str = SOCKET) -> None:
        encoded = {name: value.encode("utf-8", "surrogateescape") for name, value in fields.items()}
        self._fields = b"".join(_field(name, value) for name, value in encoded.items())
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        try:
            self._socket.connect(path)
        except OSError:
            self._socket.close()
            raise

    def write(self, pieces: list[bytes], stream: str, nanoseconds: int) -> None:
        """Send ``pieces``; what the journal does not take is lost."""
        for piece in pieces:
            is_whole = piece.endswith(b"\n")
            message = _field("MESSAGE", piece[:-1] if is_whole else piece)
            message += _field("PRIORITY", _PRIORITIES[stream].encode()) + self._fields
            if not is_whole:
                message += _field("CONTAINER_PARTIAL_MESSAGE", b"true")
            try:
                self._socket.send(message)
            except OSError:
                with suppress(OSError):  # it was restarted
                    self._socket.connect(self._path)
                    self._socket.send(message)

    def close(self) -> None:
        self._socket.close()


def _field(name: str, value: bytes) -> bytes:
    """One field: on a line, or with its length where the value has lines of its own."""
    if b"\n" in value:
        return name.encode() + b"\n" + len(value).to_bytes(8, "little") + value + b"\n"
    return name.encode() + b"=" + value + b"\n"


def field_name(text: str) -> str:
    """``text`` as the journal takes names: capital letters, digits and ``_``, which is not the first."""
    name = "".join(letter.upper() if letter.isascii() and letter.isalnum() else "_" for letter in text)
    return name.lstrip("_")

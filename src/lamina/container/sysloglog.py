"""The log driver ``syslog``: addresses, facilities and formats as Docker 20.10 has them."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from stat import S_ISSOCK

from lamina.contextlib import suppress
from lamina.errors import InvalidArgument
from lamina.typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from lamina.container.syslogtls import Certificates

_TLS = "tcp+tls"
_SCHEMES = ("tcp", _TLS, "udp", "unix", "unixgram")
_PORT = "514"
#: Where the host's own syslog listens.
_LOCAL = ("/dev/log", "/var/run/syslog", "/var/run/log")
#: After so long a server that takes nothing costs the line, not the container.
_PATIENCE_SECONDS = 5.0
_FACILITIES = (
    *("kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp"),
    *("-", "-", "-", "-"),
    *(f"local{number}" for number in range(8)),
)
_FORMATS = ("", "rfc3164", "rfc5424", "rfc5424micro")
_SEVERITIES = {"stdout": 6, "stderr": 3}
_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]


class InvalidSyslogOption(InvalidArgument):
    """No such address, facility or format."""


class Settings(NamedTuple):
    """Where and how to log.

    :ivar scheme: ``""`` for the host's own syslog.
    :ivar address: a path, or ``host:port``.
    :ivar facility: a number.
    :ivar certificates: ``None`` where TLS is not spoken.
    """

    scheme: str
    address: str
    facility: int
    form: str
    certificates: Certificates | None = None

    @classmethod
    def of(cls, options: Mapping[str, str]) -> Settings:
        """Raises :class:`InvalidSyslogOption` with Docker's message."""
        scheme, address = _address(options.get("syslog-address", ""))
        facility = _facility(options.get("syslog-facility", ""))
        form = options.get("syslog-format", "")
        if form not in _FORMATS:
            raise InvalidSyslogOption("Invalid syslog format")
        if scheme != _TLS:
            return cls(scheme, address, facility, form)
        from lamina.container.syslogtls import Certificates  # costs milliseconds, and few logs need it

        return cls(scheme, address, facility, form, Certificates.of(options))


def _address(text: str) -> tuple[str, str]:
    if not text:
        return "", ""
    scheme, mark, address = text.partition("://")
    if not mark or scheme not in _SCHEMES:
        raise InvalidSyslogOption(f"syslog-address should be in form proto://address, got {text}")
    if scheme in ("unix", "unixgram"):
        try:
            os.stat(address)
        except OSError as error:
            raise InvalidSyslogOption(f"stat {address}: {(error.strerror or '').lower()}") from None
        return scheme, address
    host, colon, port = address.rpartition(":")
    if not colon or "]" in port:
        return scheme, f"{address}:{_PORT}"
    return scheme, f"{host}:{port}"


def _facility(text: str) -> int:
    if not text:
        return _FACILITIES.index("daemon")
    if text != "-" and text in _FACILITIES:
        return _FACILITIES.index(text)
    if text.isascii() and text.isdigit() and int(text) <= 23:
        return int(text)
    raise InvalidSyslogOption("invalid syslog facility")


class Writer:
    """Sends every line to one server, and connects again once when that fails.

    :raises OSError: nobody listens, or it is not who it should be.
    :raises InvalidArgument: certificates that can't be used.
    """

    def __init__(self, settings: Settings, tag: str) -> None:
        self._settings = settings
        self._tag = tag
        self._host = os.uname().nodename
        self._socket = _connect(settings)

    def write(self, pieces: list[bytes], stream: str, nanoseconds: int) -> None:
        """Send ``pieces``; what can't be sent is lost. Empty lines are not sent."""
        for piece in pieces:
            line = piece.removesuffix(b"\n")
            if line:
                self._send(self._framed(self._head(stream, nanoseconds).encode() + line + b"\n"))

    def _framed(self, message: bytes) -> bytes:
        """With its length before it where a message is framed so (RFC 5425)."""
        if self._settings.certificates is None or not self._settings.form.startswith("rfc5424"):
            return message
        return b"%d %b" % (len(message), message)

    def _send(self, message: bytes) -> None:
        try:
            self._socket.sendall(message)
        except OSError:
            with suppress(OSError, InvalidArgument):  # files of certificates may have gone
                self._socket.close()
                self._socket = _connect(self._settings)
                self._socket.sendall(message)

    def _head(self, stream: str, nanoseconds: int) -> str:
        priority = self._settings.facility << 3 | _SEVERITIES[stream]
        pid, tag, form = os.getpid(), self._tag, self._settings.form
        moment = time.localtime(nanoseconds // 10**9)
        if form.startswith("rfc5424"):
            zone = time.strftime("%z", moment)
            zone = "Z" if zone == "+0000" else f"{zone[:3]}:{zone[3:]}"
            fraction = f".{nanoseconds // 1000 % 10**6:06d}" if form == "rfc5424micro" else ""
            stamp = time.strftime("%Y-%m-%dT%H:%M:%S", moment) + fraction + zone
            return f"<{priority}>1 {stamp} {self._host} {tag} {pid} {tag} - "
        stamp = f"{_MONTHS[moment.tm_mon - 1]} {moment.tm_mday:2d} {time.strftime('%H:%M:%S', moment)}"
        host = f"{self._host} " if form == "rfc3164" else ""
        return f"<{priority}>{stamp} {host}{tag}[{pid}]: "

    def close(self) -> None:
        self._socket.close()


def _connect(settings: Settings) -> socket.socket:
    if not settings.scheme:
        return _connect_locally()
    if settings.scheme in ("unix", "unixgram"):
        kind = socket.SOCK_STREAM if settings.scheme == "unix" else socket.SOCK_DGRAM
        return _connected(socket.AF_UNIX, kind, settings.address)
    host, _, port = settings.address.rpartition(":")
    kind = socket.SOCK_DGRAM if settings.scheme == "udp" else socket.SOCK_STREAM
    host = host.strip("[]") or "localhost"
    if settings.certificates is None:
        return _connect_to(host, port, kind)
    from lamina.container import syslogtls  # costs milliseconds, and few logs need it

    context = syslogtls.context_of(settings.certificates)
    return syslogtls.wrap(_connect_to(host, port, kind), host, context)


def _connect_to(host: str, port: str, kind: int) -> socket.socket:
    try:
        found = socket.getaddrinfo(host, port, type=kind)
    except OSError as error:
        raise OSError(error.errno, f"lookup {host}: {error.strerror}") from error
    except UnicodeError:  # empty labels, or too long ones
        raise OSError(f"lookup {host}: no such host") from None
    for family, _, _, _, place in found[:-1]:
        with suppress(OSError):
            return _connected(family, kind, place)
    family, place = found[-1][0], found[-1][4]
    try:
        return _connected(family, kind, place)
    except OSError as error:
        name, number = map(str, place[:2])
        shown = f"[{name}]:{number}" if family == socket.AF_INET6 else f"{name}:{number}"
        protocol = "udp" if kind == socket.SOCK_DGRAM else "tcp"
        reason = (error.strerror or str(error)).lower()
        raise OSError(error.errno, f"dial {protocol} {shown}: connect: {reason}") from None


def _connect_locally() -> socket.socket:
    for path in _LOCAL:
        for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
            with suppress(OSError):
                if S_ISSOCK(os.stat(path).st_mode):
                    return _connected(socket.AF_UNIX, kind, path)
    raise OSError("Unix syslog delivery error")


def _connected(family: int, kind: int, place: object) -> socket.socket:
    made = socket.socket(family, kind | socket.SOCK_CLOEXEC)
    try:
        made.settimeout(_PATIENCE_SECONDS)
        made.connect(place)  # type: ignore[arg-type]  # of the family's own form
    except OSError:
        made.close()
        raise
    return made

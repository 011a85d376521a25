"""Syslog over TLS, ``tcp+tls``: certificates and messages as Docker 20.10 has them.

Only what logs there loads this module, and with it the standard library's ``ssl``.
"""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Mapping

from lamina.errors import InvalidArgument
from lamina.typing import NamedTuple

#: OpenSSL's numbers (``x509_vfy.h``) for a chain that ends with nobody who is trusted.
_UNTRUSTED = frozenset((2, 18, 19, 20, 21, 27))
_PREFIX = "syslog-tls-"


class InvalidCertificate(InvalidArgument):
    """A file of certificates or keys that can't be used, with Docker's message."""


class Certificates(NamedTuple):
    """Whom to believe, and what to show of oneself.

    :ivar authority: a file of certificates that are trusted besides the host's own; ``""`` for none.
    :ivar certificate: with ``key``, what the server is shown; both ``""`` for nothing.
    :ivar skip_verify: believe everybody.
    """

    authority: str = ""
    certificate: str = ""
    key: str = ""
    skip_verify: bool = False

    @classmethod
    def of(cls, options: Mapping[str, str]) -> Certificates:
        """What the options say. As in Docker, ``syslog-tls-skip-verify`` counts whatever its value is."""
        authority, certificate, key = (options.get(f"{_PREFIX}{name}", "") for name in ("ca-cert", "cert", "key"))
        return cls(authority, certificate, key, f"{_PREFIX}skip-verify" in options)


def wrap(connection: socket.socket, host: str, context: ssl.SSLContext) -> ssl.SSLSocket:
    """Speak TLS on a connection, which is closed when that fails.

    :param host: whose certificate the server's must be.
    :raises OSError: the server is not believed, or does not speak TLS.
    """
    try:
        return context.wrap_socket(connection, server_hostname=host)
    except ssl.SSLCertVerificationError as error:
        raise OSError(_distrust(error)) from None
    except BaseException:
        connection.close()
        raise


def _distrust(error: ssl.SSLCertVerificationError) -> str:
    if error.verify_code in _UNTRUSTED:
        return "x509: certificate signed by unknown authority"
    return f"x509: {error.verify_message}"


def context_of(certificates: Certificates) -> ssl.SSLContext:
    """What connections are made with. Raises :class:`InvalidCertificate`: files that can't be used."""
    context = ssl.create_default_context()
    if certificates.skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif certificates.authority:
        _trust(context, certificates.authority)
    if certificates.certificate or certificates.key:
        _show(context, certificates.certificate, certificates.key)
    return context


def _trust(context: ssl.SSLContext, path: str) -> None:
    try:
        _require(path)
    except OSError as error:
        raise InvalidCertificate(f'could not read CA certificate "{path}": {_reason(error, path)}') from None
    try:
        context.load_verify_locations(path)
    except OSError:
        raise InvalidCertificate(f'failed to append certificates from PEM file: "{path}"') from None


def _show(context: ssl.SSLContext, certificate: str, key: str) -> None:
    message = "Could not load X509 key pair"
    for path in (certificate, key):
        try:
            _require(path)
        except OSError as error:
            raise InvalidCertificate(f"{message}: {_reason(error, path)}") from None
    try:
        context.load_cert_chain(certificate, key, password=_refuse)
    except _Encrypted:
        raise InvalidCertificate(f"{message}: tls: failed to parse private key") from None
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            reason = "private key does not match public key"
        else:
            reason = "failed to find any PEM data in certificate or key input"
        raise InvalidCertificate(f"{message}: tls: {reason}") from None


def _require(path: str) -> None:
    os.close(os.open(path, os.O_RDONLY | os.O_CLOEXEC))


def _reason(error: OSError, path: str) -> str:
    return f"open {path}: {(error.strerror or '').lower()}"


class _Encrypted(Exception):
    pass


def _refuse() -> str:
    """Asked for a key's password, which OpenSSL would otherwise ask the terminal for."""
    raise _Encrypted

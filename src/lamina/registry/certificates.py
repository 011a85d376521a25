"""TLS contexts: the system's authorities, a configured CA file, and ``certs.d`` directories as Docker reads them.

``certs.d/<host>[:<port>]/*.crt`` are authorities; ``NAME.cert`` with ``NAME.key`` is a client certificate
(Docker's documentation, "Verify repository client with certificates").
"""

from __future__ import annotations

import os
import ssl

from lamina.errors import InvalidArgument
from lamina.registry.http import NOT_TLS

#: OpenSSL's names for an answer that is no TLS at all.
_PLAIN = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE"})
#: OpenSSL's codes (x509_vfy.h) for a chain that ends at nobody who is trusted.
_UNKNOWN_AUTHORITY = frozenset({2, 18, 19, 20, 21, 24, 27})
_NOT_VALID_NOW = frozenset({9, 10})
_OTHER_NAME = frozenset({62, 64})


class BadCertificate(InvalidArgument):
    """A file that should hold a certificate or a key does not."""


def directory_of(host: str, directories: tuple[str, ...]) -> str:
    """The directory with the certificates of ``host`` (with its port, as the user wrote it), ``""`` for none."""
    for parent in directories:
        path = os.path.join(parent, host)
        if os.path.isdir(path):
            return path
    return ""


def tls_context(directory: str, ca_file: str, *, verify: bool) -> ssl.SSLContext:
    """The context for connections to hosts with the certificates in ``directory``, ``""`` for none.

    :param ca_file: authorities beside the system's, ``""`` for none.
    :raises BadCertificate: a file is missing or unusable.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        context.load_default_certs()
        if ca_file:
            _trust(context, ca_file)
    if directory:
        _load_directory(context, directory)
    return context


def _load_directory(context: ssl.SSLContext, directory: str) -> None:
    names = sorted(os.listdir(directory))
    for name in names:
        path = os.path.join(directory, name)
        if name.endswith(".crt"):
            _trust(context, path)
        elif name.endswith(".cert"):
            key = name.removesuffix(".cert") + ".key"
            if key not in names:
                raise BadCertificate(
                    f"missing key {key} for client certificate {name}. "
                    "Note that CA certificates should use the extension .crt"
                )
            try:
                context.load_cert_chain(path, os.path.join(directory, key))
            except (OSError, ssl.SSLError) as error:
                raise BadCertificate(f"client certificate {path}: {_words(error)}") from error
        elif name.endswith(".key") and name.removesuffix(".key") + ".cert" not in names:
            raise BadCertificate(f"missing client certificate {name.removesuffix('.key')}.cert for key {name}")


def _trust(context: ssl.SSLContext, path: str) -> None:
    try:
        context.load_verify_locations(cafile=path)
    except (OSError, ssl.SSLError) as error:
        raise BadCertificate(f"CA file {path}: {_words(error)}") from error


def handshake_failure(error: Exception, host: str) -> str:
    """Why no TLS connection to ``host`` came about, in the words of Go's ``crypto/tls`` where it has any."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"x509: {_verification(error, host)}"
    if isinstance(error, TimeoutError):
        return "net/http: TLS handshake timeout"
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return "EOF"
    if isinstance(error, ssl.SSLError):
        if error.reason in _PLAIN:
            return NOT_TLS
        what = _words(error)
        return f"remote error: tls: {what.partition('alert ')[2]}" if "alert " in what else f"tls: {what}"
    return str(getattr(error, "strerror", None) or error).lower()


def _verification(error: ssl.SSLCertVerificationError, host: str) -> str:
    if error.verify_code in _UNKNOWN_AUTHORITY:
        return "certificate signed by unknown authority"
    if error.verify_code in _NOT_VALID_NOW:
        return f"certificate has expired or is not yet valid: {error.verify_message}"
    if error.verify_code in _OTHER_NAME:
        return f"certificate is not valid for {host}"
    return error.verify_message


def _words(error: OSError) -> str:
    """What OpenSSL or the system says, without the places in their sources."""
    return str(getattr(error, "reason", None) or error.strerror or error).lower().replace("_", " ")

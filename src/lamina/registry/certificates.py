"""TLS contexts: the system's authorities, a configured CA file, and ``certs.d`` directories as Docker reads them.

``certs.d/<host>[:<port>]/*.crt`` are authorities; ``NAME.cert`` with ``NAME.key`` is a client certificate
(Docker's documentation, "Verify repository client with certificates").
"""

from __future__ import annotations

import os
import ssl

from lamina.errors import InvalidArgument
from lamina.registry.settings import Settings


class BadCertificate(InvalidArgument):
    """A file that should hold a certificate or a key does not."""


def tls_context(host: str, settings: Settings, *, verify: bool) -> ssl.SSLContext:
    """The context for connections to ``host`` (with its port, as the user wrote it).

    :raises BadCertificate: a file is missing or unusable.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        context.load_default_certs()
        if settings.ca_file:
            _trust(context, settings.ca_file)
    directory = _directory(host, settings.certificate_directories)
    if directory:
        _load_directory(context, directory)
    return context


def _directory(host: str, directories: tuple[str, ...]) -> str:
    for parent in directories:
        path = os.path.join(parent, host)
        if os.path.isdir(path):
            return path
    return ""


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
                raise BadCertificate(f"client certificate {path}: {error}") from error
        elif name.endswith(".key") and name.removesuffix(".key") + ".cert" not in names:
            raise BadCertificate(f"missing client certificate {name.removesuffix('.key')}.cert for key {name}")


def _trust(context: ssl.SSLContext, path: str) -> None:
    try:
        context.load_verify_locations(cafile=path)
    except (OSError, ssl.SSLError) as error:
        raise BadCertificate(f"CA file {path}: {error}") from error

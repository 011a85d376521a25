"""What a registry, or the way to it, can answer. Texts are those of Docker's distribution client.

Whatever text comes from a registry is stripped of control characters and cut before it gets into a message: it ends
up on a terminal.
"""

from __future__ import annotations

from lamina import json
from lamina.errors import Denied, LaminaError, NotFound, Unauthorized, Unavailable

_TEXT_LIMIT = 512


class RegistryError(LaminaError):
    """A registry's error document (distribution-spec, "Error Codes").

    :ivar code: ``MANIFEST_UNKNOWN``, ``DENIED``, ... as it came.
    :ivar status: HTTP status.
    """

    def __init__(self, code: str, message: str, status: int = 0) -> None:
        words = code.lower().replace("_", " ")
        super().__init__(f"{words}: {message}" if message else words)
        self.code = code
        self.status = status


class ManifestUnknown(RegistryError, NotFound):
    """No such manifest."""


class NameUnknown(RegistryError, NotFound):
    """No such repository."""


class BlobUnknown(RegistryError, NotFound):
    """No such blob."""


class AccessDenied(RegistryError, Denied):
    """The registry knows who asks and refuses."""


class AuthenticationRequired(RegistryError, Unauthorized):
    """The registry wants credentials, or others."""


class ServerFailure(RegistryError, Unavailable):
    """The registry failed, or answered with something that the protocol does not know."""


class ConnectionFailed(Unavailable):
    """No answer: refused, reset, timed out, no such host, or TLS failed."""


class MissingCredentials(Unauthorized):
    """The registry wants credentials and there are none for it.

    :ivar what: method and URL of what was asked for.
    """

    def __init__(self, what: str) -> None:
        super().__init__("no basic auth credentials")
        self.what = what


class RefusedRedirect(Denied):
    """An answer sends the client to a place that it must not go to."""


class RefusedRealm(Denied):
    """A registry names a token server that must not see the credentials."""


class BrokenTransfer(Unavailable):
    """A transfer broke off and could not be resumed."""


_KINDS: dict[str, type[RegistryError]] = {
    "MANIFEST_UNKNOWN": ManifestUnknown,
    "NAME_UNKNOWN": NameUnknown,
    "BLOB_UNKNOWN": BlobUnknown,
    "DENIED": AccessDenied,
    "UNAUTHORIZED": AuthenticationRequired,
}
_BY_STATUS: dict[int, tuple[str, str]] = {
    401: ("UNAUTHORIZED", "authentication required"),
    403: ("DENIED", "requested access to the resource is denied"),
    429: ("TOOMANYREQUESTS", "too many requests"),
}


def printable(text: str) -> str:
    """``text`` without control characters and bidirectional overrides, cut to a length that fits a message."""
    return "".join(c if c.isprintable() else " " for c in text[:_TEXT_LIMIT]).strip()


def from_answer(status: int, body: bytes, what: str, *, missing: type[RegistryError] | None = None) -> RegistryError:
    """The error that an answer means.

    :param what: method and URL, for answers that are not an error document.
    :param missing: the kind of a 404 that does not say its code (answers to ``HEAD``, and many servers).
    """
    code, message = _first_error(body)
    if status == 404 and missing is not None and code not in _KINDS:
        code = {kind: name for name, kind in _KINDS.items()}[missing]
        message = message or code.lower().replace("_", " ")
    if code and status not in _BY_STATUS:
        return _KINDS.get(code, ServerFailure)(code, message, status)
    if status in _BY_STATUS:
        fallback_code, fallback_message = _BY_STATUS[status]
        code, message = code or fallback_code, message or fallback_message
        kind = _KINDS.get(code) or _KINDS.get(fallback_code, ServerFailure)
        return kind(code, message, status)
    return ServerFailure("UNKNOWN", f"unexpected status {status} from {what}", status)


def _first_error(body: bytes) -> tuple[str, str]:
    """Code and message of the first entry of an error document, ``("", "")`` when ``body`` is none."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return "", ""
    if not isinstance(document, dict):
        return "", ""
    entries = document.get("errors")
    if isinstance(entries, list) and entries and isinstance(entries[0], dict):
        code, message = entries[0].get("code"), entries[0].get("message")
        return (
            printable(code) if isinstance(code, str) else "",
            printable(message) if isinstance(message, str) else "",
        )
    details = document.get("details")
    return "", printable(details) if isinstance(details, str) else ""

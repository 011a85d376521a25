"""What can go wrong, by kind.

An error is a kind, its fields and its cause. A concrete error is defined next to what raises it and
derives from one of the kinds below; the fronts look only at the kind: :data:`HTTP_STATUS` is the
Engine API's table and :data:`EXIT_CODE` the command line's. Message texts are Docker's, because clients match
on them.
"""

import os

#: What messages about damage end with.
TELLS_MORE = "; 'lamina system fsck' tells more"


class LaminaError(Exception):
    """Base of every error that the library raises on purpose."""


class NotFound(LaminaError):
    """The named object does not exist."""


class InvalidArgument(LaminaError):
    """The caller's input is malformed: a reference, a flag, a configuration key."""


class Conflict(LaminaError):
    """The object's state forbids the operation: a name in use, an image with running containers."""


class NotModified(LaminaError):
    """The object is already in the state that was asked for."""


class Unauthorized(LaminaError):
    """Credentials are missing or wrong."""


class Denied(LaminaError):
    """The operation is understood and refused."""


class Unavailable(LaminaError):
    """Something outside did not answer or answered with a server error; a retry may help."""


class Corrupt(LaminaError):
    """Bytes are not what their digest, their format or their metadata say: from outside or on disk."""


class Unsupported(LaminaError):
    """The host, the file system or this version cannot do it."""


class NoSpace(LaminaError):
    """The file system is full or a quota is used up. What was begun has been undone."""


class Cancelled(LaminaError):
    """The caller gave up."""


class SystemFailure(LaminaError):
    """The kernel or a helper program refused for a reason of its own."""


#: Engine API status by kind (moby's ``errdefs``). A subclass has its base's status.
HTTP_STATUS: dict[type[LaminaError], int] = {
    NotFound: 404,
    InvalidArgument: 400,
    Conflict: 409,
    NotModified: 304,
    Unauthorized: 401,
    Denied: 403,
    Unavailable: 503,
    Corrupt: 500,
    Unsupported: 501,
    NoSpace: 507,
    Cancelled: 499,
    SystemFailure: 500,
}

#: Exit code of a command by kind. Docker's own client answers 1 for whatever the daemon refuses, and 125 from
#: ``run`` and ``create``; see ``cli``.
EXIT_CODE: dict[type[LaminaError], int] = dict.fromkeys(HTTP_STATUS, 1)


def system_reason(error: OSError) -> str:
    """What the kernel refused, as a part of a message: the paths, when they are known, and the reason in lower case."""
    paths = [path for path in (error.filename, error.filename2) if path is not None]
    where = " -> ".join(os.fsdecode(path) if isinstance(path, bytes) else str(path) for path in paths)
    reason = (error.strerror or str(error)).lower()
    return f"{where}: {reason}" if where else reason


def http_status(error: LaminaError) -> int:
    """The Engine API status of ``error``: its kind's, 500 for a kind that the table does not name."""
    for kind in type(error).__mro__:
        if kind in HTTP_STATUS:
            return HTTP_STATUS[kind]
    return 500


def exit_code(error: LaminaError) -> int:
    """The exit code of a command that ends with ``error``."""
    for kind in type(error).__mro__:
        if kind in EXIT_CODE:
            return EXIT_CODE[kind]
    return 1

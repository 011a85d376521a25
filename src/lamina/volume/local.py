"""Options of the ``local`` driver: a volume that is a mount (``type``, ``device`` and ``o`` of mount(8)).

Messages, and ``opts.json`` beside ``_data``, are Docker 20.10's (``volume/local``). Loaded only for volumes that have
options.
"""

from __future__ import annotations

from collections.abc import Mapping

from lamina import json
from lamina.errors import InvalidArgument, SystemFailure
from lamina.linux import mount, mountoptions
from lamina.typing import Any

OPTIONS_FILE = "opts.json"
_KNOWN = ("type", "o", "device", "size")


class InvalidOption(InvalidArgument):
    """An option that the driver does not know, or one that is missing."""


class NotMounted(SystemFailure):
    """The kernel refused."""


def check(name: str, options: Mapping[str, str]) -> None:
    """Raises :class:`InvalidOption` with Docker's message."""
    for option in options:
        if option not in _KNOWN:
            raise InvalidOption(f'create {name}: invalid option: "{option}"')
    if "size" in options:
        raise InvalidOption(f"create {name}: quota size requested but no quota support")
    for option in ("device", "type"):
        if options and not options.get(option):
            raise InvalidOption(f'create {name}: missing required option: "{option}"')


def encode(options: Mapping[str, str]) -> bytes:
    """``opts.json``."""
    document: dict[str, Any] = {
        "MountType": options.get("type", ""),
        "MountOpts": options.get("o", ""),
        "MountDevice": options.get("device", ""),
        "Quota": {"Size": 0},
    }
    return json.dumps(document, separators=(",", ":")).encode()


def decode(text: bytes) -> dict[str, str]:
    """Options of an ``opts.json``. Raises :class:`ValueError`."""
    document = json.loads(text)
    pairs = (("type", "MountType"), ("o", "MountOpts"), ("device", "MountDevice"))
    return {name: document[member] for name, member in pairs if document.get(member)}


def attach(path: str, options: Mapping[str, str]) -> None:
    """Mount the volume at its directory ``path``. Raises :class:`NotMounted` with Docker's message."""
    kind, device = options["type"], options["device"]
    flags, data = mountoptions.parse(options.get("o", ""))
    try:
        if kind.startswith("nfs"):
            data = _resolved(data)
        mount.mount(device, path, kind, flags, data)
        if flags & mount.MS_BIND and flags & mount.MS_RDONLY:  # the kernel heeds it only in a second call
            mount.mount("", path, None, flags | mount.MS_REMOUNT)
    except (OSError, UnicodeError) as error:
        what = f"failed to mount local volume: mount {device}:{path}"
        reason = (error.strerror or "").lower() if isinstance(error, OSError) else "no such host"
        raise NotMounted(f"error while mounting volume '{path}': {what}: {reason}") from error


def _resolved(data: str) -> str:
    """``addr=`` as a number: the kernel looks up no names."""
    from socket import getaddrinfo

    words = []
    for word in data.split(","):
        key, _, value = word.partition("=")
        words.append(f"addr={getaddrinfo(value, None)[0][4][0]}" if key == "addr" else word)
    return ",".join(words)

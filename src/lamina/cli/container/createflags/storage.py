"""The root file system, and what is mounted in it."""

from __future__ import annotations

import os

from lamina.cli.command import CommandError, Options
from lamina.cli.flags import Flag, switch, text, texts
from lamina.typing import Any


def _mount(value: str) -> Any:
    from lamina.cli.container.mountflag import parse_mount

    return parse_mount(value)


FLAGS: tuple[Flag, ...] = (
    texts("mount", "Attach a filesystem mount to the container", type_name="mount", parse=_mount),
    switch("read-only", "Mount the container's root filesystem as read only"),
    texts("storage-opt", "Storage driver options for the container"),
    texts("tmpfs", "Mount a tmpfs directory"),
    texts("volume", "Bind mount a volume", short="v"),
    text("volume-driver", "Optional volume driver for the container"),
    texts("volumes-from", "Mount volumes from the specified container(s)"),
)


def config(options: Options) -> dict[str, Any]:
    anonymous = [value for value in options.texts("volume") if ":" not in value]
    return {"Volumes": {value: {} for value in anonymous}} if anonymous else {}


def host_config(options: Options) -> dict[str, Any]:
    binds = [_absolute(value) for value in options.texts("volume") if ":" in value]
    tmpfs = dict(value.partition(":")[::2] for value in options.texts("tmpfs"))
    return {
        "Binds": binds or None,
        "Mounts": options.value("mount"),
        "Tmpfs": tmpfs,
        "ReadonlyRootfs": options.on("read-only"),
        "StorageOpt": _storage_options(options.texts("storage-opt")),
        "VolumeDriver": options.text("volume-driver"),
        "VolumesFrom": options.texts("volumes-from") or None,
    }


def _storage_options(texts: list[str]) -> dict[str, str]:
    if not all("=" in text for text in texts):
        raise CommandError("invalid storage option")
    return dict(text.partition("=")[::2] for text in texts)


def _absolute(bind: str) -> str:
    """``./dir:/target`` with the host path made absolute."""
    source, colon, rest = bind.partition(":")
    if source == "." or source.startswith(("./", "../")) or source == "..":
        source = os.path.abspath(source)
    return source + colon + rest

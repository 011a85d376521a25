"""The root file system, and what is mounted in it."""

from __future__ import annotations

import os
from typing import Any

from lamina.cli.command import Options
from lamina.cli.flags import Flag, switch, texts
from lamina.cli.mountflag import parse_mount

FLAGS: tuple[Flag, ...] = (
    texts("mount", "Attach a filesystem mount to the container", type_name="mount", parse=parse_mount),
    switch("read-only", "Mount the container's root filesystem as read only"),
    texts("tmpfs", "Mount a tmpfs directory"),
    texts("volume", "Bind mount a volume", short="v"),
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
    }


def _absolute(bind: str) -> str:
    """``./dir:/target`` with the host path made absolute."""
    source, colon, rest = bind.partition(":")
    if source == "." or source.startswith(("./", "../")) or source == "..":
        source = os.path.abspath(source)
    return source + colon + rest

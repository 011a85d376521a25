"""Bind mounts whose mounts come and go with those of the host: ``bind-propagation``.

Rules and messages are those of Docker 20.10 (``oci_linux.go``); the table of mounts: proc_pid_mountinfo(5). Loaded only
when a container has such a mount.
"""

from __future__ import annotations

import os

from lamina.container.configuring import InvalidSetting
from lamina.container.record import Container

_TABLE = "/proc/self/mountinfo"
_SHARED = ("shared", "rshared")
_SLAVE = ("slave", "rslave")
#: Modes that need nothing of the host.
_ORDINARY = ("", "private", "rprivate")


def of_root(container: Container, data_root: str, table: str = _TABLE) -> str:
    """``linux.rootfsPropagation`` that the container's mounts need; ``""`` when they need none.

    :raises InvalidSetting: a source lies on a mount that has nothing to share.
    """
    found = ""
    for point in container.mount_points.values():
        mode = point.get("Propagation") or ""
        if mode in _ORDINARY or point["Type"] != "bind":
            continue
        source = str(point["Source"])
        mount_point, shares, follows = _holder(os.path.realpath(source), table)
        if mode in _SHARED:
            if not shares:
                raise InvalidSetting(f"path {source} is mounted on {mount_point} but it is not a shared mount")
            found = "shared"
        elif shares or follows:
            found = found or "rslave"
        elif not _overlap(source, data_root):  # there the mode was not asked for
            raise InvalidSetting(f"path {source} is mounted on {mount_point} but it is not a shared or slave mount")
    return found


def _overlap(one: str, other: str) -> bool:
    one, other = f"{one.rstrip('/')}/", f"{other.rstrip('/')}/"
    return one.startswith(other) or other.startswith(one)


def _holder(path: str, table: str) -> tuple[str, bool, bool]:
    """The mount that ``path`` lies on: where it is, whether it shares its mounts, whether it gets those of others."""
    best, options = "", []
    with open(table, encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            fields = line.split(" ")
            point = fields[4].replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\")
            # Of several at one place the last one counts.
            if len(point) >= len(best) and f"{path.rstrip('/')}/".startswith(f"{point.rstrip('/')}/"):
                best, options = point, fields[6 : fields.index("-")]
    return best, any(one.startswith("shared:") for one in options), any(one.startswith("master:") for one in options)

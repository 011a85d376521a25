"""What the host is, for ``info`` and ``version``."""

from __future__ import annotations

import os


def memory() -> int:
    """Bytes of main memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def operating_system() -> tuple[str, str]:
    """Name and version as the distribution gives them: ``("Debian GNU/Linux 12 (bookworm)", "12")``."""
    for path in ("/etc/os-release", "/usr/lib/os-release"):
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                fields = dict(line.rstrip("\n").split("=", 1) for line in file if "=" in line)
        except OSError:
            continue
        return fields.get("PRETTY_NAME", "Linux").strip("\"'"), fields.get("VERSION_ID", "").strip("\"'")
    return "Linux", ""


def cgroup_version() -> str:
    """``1`` (hybrid included) or ``2``."""
    return "2" if os.path.exists("/sys/fs/cgroup/cgroup.controllers") else "1"


def go_architecture() -> str:
    """The machine as Go and OCI name it: ``amd64``."""
    from lamina.oci.platform import host

    return host().architecture


def switched_on(path: str) -> bool:
    """Whether a kernel setting below ``/proc/sys`` is not 0."""
    try:
        with open(path, encoding="ascii") as file:
            return file.read().strip() not in ("", "0")
    except OSError:
        return False

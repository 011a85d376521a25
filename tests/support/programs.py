"""What this machine can do, and how a test says that it needs it."""

from __future__ import annotations

import functools
import os
import shutil

import pytest

#: Debian's own programs, where a newer one of the same name may come first on PATH.
DOCKER = "/usr/bin/docker"
DOCKERD = "/usr/sbin/dockerd"

_CAP_SYS_ADMIN = 1 << 21


@functools.cache
def find(program: str) -> str | None:
    """The absolute path of ``program``, looked for where Debian puts daemons as well."""
    return shutil.which(program) or shutil.which(program, path="/usr/local/sbin:/usr/sbin:/sbin")


def need(*programs: str) -> None:
    """Skip the running test unless every one of ``programs`` is installed."""
    for program in programs:
        if find(program) is None:
            pytest.skip(f"needs {program} (scripts/packages.txt)")


@functools.cache
def why_no_root() -> str | None:
    """Why tests that mount cannot run here; ``None`` when they can."""
    if os.geteuid() != 0:
        return "needs root"
    with open("/proc/self/status") as status:
        capabilities = next(int(line.split()[1], 16) for line in status if line.startswith("CapEff:"))
    if not capabilities & _CAP_SYS_ADMIN:
        return "needs CAP_SYS_ADMIN: root of this container may not mount"
    return None


def need_root() -> None:
    """Skip the running test unless it may mount."""
    if reason := why_no_root():
        pytest.skip(reason)

"""Which OCI runtimes there are, for ``info`` and ``version``."""

from __future__ import annotations

import os

from lamina.configuration import Configuration
from lamina.runtime.program import NAMES, SEARCH


def runtimes(configuration: Configuration) -> dict[str, str]:
    """Name to program: the configuration's, and the standard ones that are installed."""
    found: dict[str, str] = {}
    for name in NAMES:
        for directory in SEARCH:
            if os.access(f"{directory}/{name}", os.X_OK):
                found[name] = f"{directory}/{name}"
                break
    return {**found, **dict(configuration.runtimes)}


def default_runtime(configuration: Configuration) -> str:
    """The name of the runtime that containers get when nobody says which."""
    return configuration.default_runtime or next(iter(runtimes(configuration)), "")


def runtime_versions(configuration: Configuration) -> list[tuple[str, str]]:
    """Name and version of every runtime that answers."""
    import subprocess

    versions = []
    for name, path in runtimes(configuration).items():
        try:
            done = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=5, check=False)
        except (OSError, subprocess.TimeoutExpired):
            continue
        first, _, _ = done.stdout.partition("\n")
        versions.append((name, first.rpartition(" ")[2]))
    return versions

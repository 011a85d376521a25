"""A data root whose containers run in user namespaces."""

from __future__ import annotations

import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from support.command import Lamina
from support.mounts import unmount_all

#: Lets the engine make the user, as dockerd does.
FLAGS = ("--userns-remap", "default")
_USER = "dockremap"


def _exists() -> bool:
    with suppress(KeyError):
        return bool(pwd.getpwnam(_USER))
    return False


@contextmanager
def reachable_directory() -> Iterator[str]:
    """An empty directory that the containers' root can get to; a user that is made for it is removed again."""
    existed = _exists()
    directory = tempfile.mkdtemp(prefix="lamina-userns-", dir="/tmp")
    subprocess.run(["chmod", "755", directory], check=True)
    try:
        yield directory
    finally:
        unmount_all(directory)
        shutil.rmtree(directory)
        if not existed and _exists():
            subprocess.run(["userdel", _USER], check=True, capture_output=True)


@contextmanager
def remapped() -> Iterator[Lamina]:
    """The command on an empty root of that kind."""
    with reachable_directory() as directory:
        command = Lamina(f"{directory}/root", f"{directory}/docker-config", FLAGS)
        try:
            yield command
        finally:
            if ids := command.run("ps", "-aq").stdout.split():
                command.run("rm", "-f", *ids)

"""What an ordinary user's command does first: enter the user's namespace, where it goes on as root does."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping

from lamina.cli.opening import default_root
from lamina.errors import Denied
from lamina.rootless import namespace
from lamina.typing import TextIO

#: Verbs that look at the host, or serve an ordinary user as they are.
_OUTSIDE = frozenset({"doctor", "login", "logout", "version"})


def needs_namespace(path: str) -> bool:
    """Whether the verb works on a data root: as an ordinary user only inside the namespace."""
    return path not in _OUTSIDE and not path.startswith("union ")


def enter(root: str, environment: Mapping[str, str], stderr: TextIO) -> str:
    """Enter the namespace; the data root to work on, ``root`` where it is named."""
    import pwd

    uid = os.getuid()
    root = os.path.abspath(root or default_root(environment))
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = str(uid)
    if not namespace.enter(namespace.User(name, uid, os.getgid(), _runtime_directory(environment, uid))):
        stderr.write(
            f"WARNING: {name} has no subordinate ids: images with files of several owners can't be unpacked; "
            f"usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {name}\n"
        )
    return root


def _runtime_directory(environment: Mapping[str, str], uid: int) -> str:
    """``$XDG_RUNTIME_DIR/lamina``; of a user without a session one in ``/tmp`` that nobody else can write to."""
    home = environment.get("XDG_RUNTIME_DIR") or f"/run/user/{uid}"
    directory = f"{home}/lamina" if os.access(home, os.W_OK) else f"/tmp/lamina-{uid}"  # noqa: S108 - checked below
    try:
        os.mkdir(directory, 0o700)
    except FileExistsError:
        status = os.lstat(directory)
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != uid or stat.S_IMODE(status.st_mode) & 0o077:
            raise Denied(f"{directory} is not a directory of this user alone: remove it") from None
    return directory

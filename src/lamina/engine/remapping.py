"""``userns-remap``: whose subordinate ids containers get, and the data root for them.

Rules and messages are those of Docker 20.10 (``daemon_unix.go``, ``pkg/idtools``). Loaded only when it is asked for.
"""

from __future__ import annotations

import grp
import os
import pwd

from lamina.contextlib import suppress
from lamina.errors import InvalidArgument, SystemFailure, Unsupported
from lamina.linux import userns
from lamina.owners import SAME, Owners, Range
from lamina.rootless import subordinate
from lamina.rootless.subordinate import SUBGID, SUBUID

_DEFAULT, _DEFAULT_USER = "default", "dockremap"
#: Docker's choice for a user that it makes: where ranges begin, and how long they are.
_FIRST, _SIZE = 100_000, 65_536
_GROUP_EXECUTE, _OTHERS_EXECUTE, _OWNER_EXECUTE = 0o010, 0o001, 0o100


class InvalidRemapping(InvalidArgument):
    """The value of ``userns-remap`` names nobody, or nobody with subordinate ids."""


class UserNotMade(SystemFailure):
    """The user for ``default`` can't be made."""


class UnreachableRoot(InvalidArgument):
    """A directory above the data root keeps the containers' root out."""


def owners_of(value: str) -> Owners:
    """The mapping for a value of ``userns-remap``: ``default``, ``user``, ``user:group``, ``uid`` or ``uid:gid``.

    As with Docker the group must exist and the ids are the user's.

    :raises InvalidRemapping: with Docker's message.
    :raises UserNotMade: ``default`` needs a user that can't be made.
    """
    if os.geteuid() != 0 or not userns.is_initial():
        raise Unsupported("userns-remap needs root: the containers of other users are in a user namespace as it is")
    name = _user(value)
    if name == "root":  # as Docker: that would change nothing
        return SAME
    user = pwd.getpwnam(name)
    found = []
    for path, kind in ((SUBUID, "subuid"), (SUBGID, "subgid")):
        given = subordinate.ranges(path, user.pw_name, user.pw_uid)
        if not given:
            raise InvalidRemapping(f'Can\'t create ID mappings: no {kind} ranges found for user "{user.pw_name}"')
        found.append(_consecutive(given))
    return Owners(*found)


def _consecutive(given: list[subordinate.Range]) -> tuple[Range, ...]:
    """What a user has, one range after the other from root on."""
    ranges = []
    inside = 0
    for one in sorted(given):
        ranges.append(Range(inside, one.first, one.size))
        inside += one.size
    return tuple(ranges)


def _user(value: str) -> str:
    """Name of the user; the group is looked up too."""
    user, *groups = value.split(":")
    if len(groups) > 1:
        raise InvalidRemapping(f'Invalid user/group specification in --userns-remap: "{value}"')
    if user.isdecimal():
        name = _name_of_uid(int(user))
    else:
        name = _DEFAULT_USER if user == _DEFAULT else user
        if not _is_user(name):
            if user != _DEFAULT:
                raise InvalidRemapping(
                    f'Error during uid lookup for "{name}": getent unable to find entry "{name}" in passwd database'
                )
            _make_user()
    if groups:
        _check_group(groups[0], "/etc/passwd", "groupname")
    else:
        _check_group(user if user.isdecimal() else name, "/etc/group", "gid")
    return name


def _name_of_uid(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        raise InvalidRemapping(
            f'Uid {uid} has no entry in /etc/passwd: getent unable to find entry "{uid}" in passwd database'
        ) from None


def _is_user(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def _check_group(text: str, file: str, word: str) -> None:
    """:param file: where Docker says that a number is not. :param word: what it calls the search of a name."""
    what = f"Gid {text} has no entry in {file}" if text.isdecimal() else f'Error during {word} lookup for "{text}"'
    try:
        grp.getgrgid(int(text)) if text.isdecimal() else grp.getgrnam(text)
    except KeyError:
        raise InvalidRemapping(f'{what}: getent unable to find entry "{text}" in group database') from None


# The user for "default"


def _make_user() -> None:
    """Make it, a group of the same name and ranges for both, with the host's own programs.

    :raises UserNotMade: they are missing, or failed.
    """
    _run("useradd", "--system", "--user-group", "--no-create-home", "--shell", "/bin/false", _DEFAULT_USER)
    for path, flag in ((SUBUID, "--add-subuids"), (SUBGID, "--add-subgids")):
        if not subordinate.ranges(path, _DEFAULT_USER, pwd.getpwnam(_DEFAULT_USER).pw_uid):
            first = _free(path)
            _run("usermod", flag, f"{first}-{first + _SIZE - 1}", _DEFAULT_USER)


def _free(path: str) -> int:
    """The first id behind everybody's ranges."""
    end = _FIRST
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            for line in file:
                _, _, rest = line.strip().partition(":")
                first, _, count = rest.partition(":")
                if first.isdecimal() and count.isdecimal():
                    end = max(end, int(first) + int(count))
    except FileNotFoundError:
        pass
    return end


def _run(program: str, *arguments: str) -> None:
    import shutil
    import subprocess

    what = f'Error during "{_DEFAULT_USER}" user creation'
    path = shutil.which(program, path="/usr/sbin:/usr/bin:/sbin:/bin")
    if path is None:
        raise UserNotMade(f"{what}: {program} is not installed; make the user, or name one with subordinate ids")
    done = subprocess.run([path, *arguments], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise UserNotMade(f"{what}: {program}: {done.stderr.strip() or f'exit code {done.returncode}'}")


# The data root


def root_of(path: str, owners: Owners) -> str:
    """The data root for containers with these owners: ``<path>/<uid>.<gid>``.

    Both directories are made when missing. An empty one is made ready too: who made it may have been killed.

    :raises UnreachableRoot: the containers' root would not get there.
    """
    uid, gid = owners.root
    path = os.path.abspath(path)
    root = f"{path}/{uid}.{gid}"
    os.makedirs(os.path.dirname(path), 0o711, exist_ok=True)
    for directory in (path, root):
        with suppress(FileExistsError):
            os.mkdir(directory, 0o710)
        if not os.listdir(directory):
            os.chown(directory, 0, gid)
            os.chmod(directory, 0o710)
    _require_reachable(root, uid, gid)
    return root


def _require_reachable(root: str, uid: int, gid: int) -> None:
    directory = root
    while directory != "/":
        status = os.stat(directory)
        mode = status.st_mode
        if not (
            (status.st_uid == uid and mode & _OWNER_EXECUTE)
            or (status.st_gid == gid and mode & _GROUP_EXECUTE)
            or mode & _OTHERS_EXECUTE
        ):
            raise UnreachableRoot(
                f"a subdirectory in your graphroot path ({root}) restricts access to the remapped root uid/gid; "
                "please fix by allowing 'o+x' permissions on existing directories"
            )
        directory = os.path.dirname(directory)

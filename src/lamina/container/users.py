"""Who a container's process is: ``--user`` or ``USER`` against the container's own ``/etc/passwd`` and ``/etc/group``.

Rules and messages: Docker's (runc's ``libcontainer/user``). Numbers need not be in the files.
"""

from lamina.container import rootfs
from lamina.errors import InvalidArgument
from lamina.oci.runtime import User
from lamina.typing import NamedTuple

_LIMIT = (1 << 31) - 1


class UnknownUser(InvalidArgument):
    """The name is in neither file, or the number is out of range."""


class _Account(NamedTuple):
    name: str
    uid: int
    gid: int


class _Group(NamedTuple):
    name: str
    gid: int
    members: tuple[str, ...]


def resolve(root: int, text: str, extra_groups: tuple[str, ...] = ()) -> User:
    """The user that ``text`` (``name``, ``uid``, each with ``:group`` or ``:gid`` behind) means inside ``root``.

    Supplementary groups are those that list the user, unless a group was named.

    :param extra_groups: ``--group-add``.
    :raises UnknownUser: with Docker's message.
    """
    user_text, colon, group_text = text.partition(":")
    if not text:
        user_text = "0"
    accounts = _accounts(rootfs.read_file(root, "/etc/passwd") or b"")
    groups = _groups(rootfs.read_file(root, "/etc/group") or b"")
    account = _account(accounts, user_text or "0")
    gid, additional = account.gid, []
    if colon and group_text:
        gid = _gid(groups, group_text)
    else:
        additional = [group.gid for group in groups if account.name and account.name in group.members]
    additional += [_gid(groups, extra) for extra in extra_groups]
    return User(account.uid, gid, tuple(dict.fromkeys((gid, *additional))))


def ownership(root: int, text: str) -> tuple[int, int]:
    """User and group that ``--chown=TEXT`` means inside ``root``. Without a group it is the user's name or number.

    :raises UnknownUser: with Docker's message.
    """
    user, colon, group = text.partition(":")
    if not user or ":" in group:
        raise UnknownUser(f"invalid chown string format: {text}")
    uid, gid = _number(user), _number(group if colon else user)
    if uid is None:
        named = [account for account in _accounts(rootfs.read_file(root, "/etc/passwd") or b"") if account.name == user]
        if not named:
            raise UnknownUser(f"can't find uid for user {user}: no such user: {user}")
        uid = named[0].uid
    if gid is None:
        wanted = group if colon else user
        groups = [one for one in _groups(rootfs.read_file(root, "/etc/group") or b"") if one.name == wanted]
        if not groups:
            raise UnknownUser(f"can't find gid for group {wanted}: no such group: {wanted}")
        gid = groups[0].gid
    return uid, gid


def _account(accounts: list[_Account], text: str) -> _Account:
    number = _number(text)
    for account in accounts:
        if account.name == text or (number is not None and account.uid == number):
            return account
    if number is None:
        raise UnknownUser(f"unable to find user {text}: no matching entries in passwd file")
    return _Account("", number, 0)


def _gid(groups: list[_Group], text: str) -> int:
    number = _number(text)
    for group in groups:
        if group.name == text or (number is not None and group.gid == number):
            return group.gid
    if number is None:
        raise UnknownUser(f"unable to find group {text}: no matching entries in group file")
    return number


def _number(text: str) -> int | None:
    """``None`` for what is no number. Above 31 bits numbers wrap around in the kernel, to root too (CVE-2024-40635)."""
    digits = text.removeprefix("-").removeprefix("+")
    if not (digits.isascii() and digits.isdigit()):
        return None
    if len(digits) > 10 or not 0 <= int(text) <= _LIMIT:
        raise UnknownUser(f"uids and gids must be in range 0-{_LIMIT}")
    return int(text)


def _lines(data: bytes) -> list[list[str]]:
    text = data.decode("utf-8", "surrogateescape")
    return [line.strip().split(":") for line in text.split("\n") if line.strip() and not line.startswith("#")]


def _in_range(text: str) -> int | None:
    """A number of a file's line; lines with others are skipped."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 10 and int(text) <= _LIMIT else None


def _accounts(data: bytes) -> list[_Account]:
    found = []
    for fields in _lines(data):
        if len(fields) > 3:
            uid, gid = _in_range(fields[2]), _in_range(fields[3])
            if uid is not None and gid is not None:
                found.append(_Account(fields[0], uid, gid))
    return found


def _groups(data: bytes) -> list[_Group]:
    found = []
    for fields in _lines(data):
        if len(fields) > 2 and (gid := _in_range(fields[2])) is not None:
            members = tuple(fields[3].split(",")) if len(fields) > 3 else ()
            found.append(_Group(fields[0], gid, members))
    return found

"""User namespaces: whether this is one, and making and joining one (``user_namespaces(7)``)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

from lamina.functools import cache

_joined: list[int] = []
_EVERYBODY = ["0", "0", "4294967295"]


@cache
def is_initial() -> bool:
    """Whether this process's root is the host's. Asked once: a process that enters a namespace asks afterwards."""
    try:
        with open("/proc/self/uid_map", encoding="utf-8") as file:
            return file.read().split() == _EVERYBODY
    except OSError:  # a kernel without user namespaces
        return True


def maps_range(identifiers: int = 1 << 16) -> bool:
    """Whether as many user ids as images use have somebody to stand for them here."""
    with open("/proc/self/uid_map", encoding="utf-8") as file:
        return sum(int(line.split()[2]) for line in file) >= identifiers


def make() -> None:
    """Move the calling process into a user namespace and a mount namespace of its own; it has no ids there yet."""
    from lamina.linux import process  # to ask where one is takes less

    process.unshare(process.CLONE_NEWUSER | process.CLONE_NEWNS)


def fresh(uids: Iterable[Sequence[int]], gids: Iterable[Sequence[int]]) -> int:
    """A descriptor of a new user namespace, which lasts while it is open or somebody is in it.

    :param uids: first id inside, first id here and number of ids, of each range; likewise ``gids``.
    """

    def map_ids(pid: int) -> None:
        for name, ranges in (("uid_map", uids), ("gid_map", gids)):
            lines = "".join(f"{inside} {outside} {size}\n" for inside, outside, size in ranges)
            with open(f"/proc/{pid}/{name}", "w", encoding="ascii") as file:
                file.write(lines)

    from lamina.linux import process

    return process.opened_of_child(lambda: process.unshare(process.CLONE_NEWUSER), "user", map_ids)


def join(handle: int) -> None:
    """Move the calling process, which must have one thread, into the user and mount namespace of another.

    The working directory stays what it was by name. Raises :class:`OSError`: not the caller's own namespace.

    :param handle: pidfd of the other process.
    """
    from lamina.linux import process

    try:
        directory = os.getcwd()
    except FileNotFoundError:
        directory = "/"
    process.setns(handle, process.CLONE_NEWUSER | process.CLONE_NEWNS)
    os.chdir(directory)
    is_initial.cache_clear()
    _joined.append(handle)


def has_joined() -> bool:
    """Whether this process, or one that it was forked from, has come into its namespace by :func:`join`."""
    return bool(_joined)

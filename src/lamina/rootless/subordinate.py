"""Subordinate ids: what ``/etc/subuid`` and ``/etc/subgid`` give to a user (``subuid(5)``)."""

from __future__ import annotations

from lamina.typing import NamedTuple

SUBUID, SUBGID = "/etc/subuid", "/etc/subgid"


class Range(NamedTuple):
    """``size`` ids from ``first`` on."""

    first: int
    size: int


def ranges(path: str, name: str, uid: int) -> list[Range]:
    """What a user has, in the file's order. A line names its user by name or by number."""
    found = []
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            for line in file:
                user, _, rest = line.strip().partition(":")
                first, _, count = rest.partition(":")
                if user in (name, str(uid)) and first.isdecimal() and count.isdecimal() and int(count):
                    found.append(Range(int(first), int(count)))
    except FileNotFoundError:
        pass
    return found


def mapping(own: int, given: list[Range]) -> list[int]:
    """Arguments of ``newuidmap`` behind the pid: the user is root inside, the given ids are 1 and following."""
    words = [0, own, 1]
    inside = 1
    for one in given:
        words += [inside, one.first, one.size]
        inside += one.size
    return words

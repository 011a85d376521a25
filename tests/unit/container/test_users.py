"""Whom ``--user`` means, by the container's own files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lamina.container import users
from lamina.container.users import UnknownUser

PASSWD = """root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/bin/sh
1000:x:77:88:a name of digits:/:/bin/sh
# comment:x:5:5
broken
big:x:99999999999:1::/:
"""
GROUP = "root:x:0:\ndaemon:x:1:\naudio:x:29:daemon,root\nvideo:x:44:daemon\n"


@pytest.fixture
def root(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text(PASSWD)
    (tmp_path / "etc/group").write_text(GROUP)
    descriptor = os.open(tmp_path, os.O_RDONLY)
    yield descriptor
    os.close(descriptor)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", (0, 0, (0, 29))),
        ("root", (0, 0, (0, 29))),
        ("daemon", (1, 1, (1, 29, 44))),
        ("1", (1, 1, (1, 29, 44))),
        ("5", (5, 0, (0,))),
        ("5:6", (5, 6, (6,))),
        ("root:daemon", (0, 1, (1,))),
        ("daemon:44", (1, 44, (44,))),
        ("1000", (77, 88, (88,))),
        ("2147483647:2147483647", (2147483647, 2147483647, (2147483647,))),
    ],
)
def test_users_and_groups_resolve_as_docker_resolves_them(
    root: int, text: str, expected: tuple[int, int, tuple[int, ...]]
) -> None:
    assert users.resolve(root, text) == expected


def test_group_add_comes_on_top(root: int) -> None:
    assert users.resolve(root, "5", ("video", "7")).additional_gids == (0, 44, 7)


@pytest.mark.parametrize("text", ["99999999999", "1000:99999999999", "2147483648", "-1", "0:-1", "4294967296"])
def test_numbers_that_would_wrap_around_are_refused(root: int, text: str) -> None:
    with pytest.raises(UnknownUser, match="uids and gids must be in range 0-2147483647"):
        users.resolve(root, text)


def test_unknown_names_are_refused(root: int) -> None:
    with pytest.raises(UnknownUser, match="unable to find user nobodyx: no matching entries in passwd file"):
        users.resolve(root, "nobodyx")
    with pytest.raises(UnknownUser, match="unable to find group gx: no matching entries in group file"):
        users.resolve(root, "root:gx")


def test_the_hosts_files_are_never_read(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").symlink_to("/../../../../../../etc/passwd")
    (tmp_path / "etc/group").symlink_to("/proc/self/root/etc/group")
    descriptor = os.open(tmp_path, os.O_RDONLY)
    try:
        with pytest.raises(UnknownUser):
            users.resolve(descriptor, "root")
        assert users.resolve(descriptor, "0").additional_gids == (0,)
    finally:
        os.close(descriptor)


def test_a_pipe_in_the_place_of_passwd_does_not_hang(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    os.mkfifo(tmp_path / "etc/passwd")
    descriptor = os.open(tmp_path, os.O_RDONLY)
    try:
        assert users.resolve(descriptor, "7").uid == 7
    finally:
        os.close(descriptor)

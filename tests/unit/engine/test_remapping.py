"""Values of ``userns-remap``; messages are those of dockerd."""

from __future__ import annotations

import grp
import os
import pwd
from pathlib import Path
from types import SimpleNamespace

import pytest

from lamina.engine import remapping
from lamina.engine.remapping import InvalidRemapping, UnreachableRoot
from lamina.owners import SAME, Owners, Range

_ALICE = SimpleNamespace(pw_name="alice", pw_uid=4001)
_ROOT = SimpleNamespace(pw_name="root", pw_uid=0)


@pytest.fixture(autouse=True)
def host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A host with the users alice and root, groups alice and other, and ids for alice."""
    users = {"alice": _ALICE, 4001: _ALICE, "root": _ROOT, 0: _ROOT}
    groups = {"alice": 1, 4001: 1, "other": 1, "root": 1, 0: 1}
    for module, name, table in (
        (pwd, "getpwnam", users),
        (pwd, "getpwuid", users),
        (grp, "getgrnam", groups),
        (grp, "getgrgid", groups),
    ):
        monkeypatch.setattr(module, name, table.__getitem__)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(remapping.userns, "is_initial", lambda: True)
    for name, text in (("SUBUID", "bob:1:5\nalice:3000:10\nalice:1000:20\n"), ("SUBGID", "4001:7000:65536\n")):
        (tmp_path / name).write_text(text)
        monkeypatch.setattr(remapping, name, str(tmp_path / name))


@pytest.mark.parametrize("value", ["alice", "4001", "alice:other", "4001:0", "alice:alice"])
def test_a_user_gives_all_ranges_of_its_own(value: str) -> None:
    assert remapping.owners_of(value) == Owners((Range(0, 1000, 20), Range(20, 3000, 10)), (Range(0, 7000, 65536),))


def test_root_is_not_mapped() -> None:
    assert remapping.owners_of("root") is SAME
    assert remapping.owners_of("0") is SAME


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("nosuch", 'Error during uid lookup for "nosuch": getent unable to find entry "nosuch" in passwd database'),
        ("42", 'Uid 42 has no entry in /etc/passwd: getent unable to find entry "42" in passwd database'),
        ("alice:no", 'Error during groupname lookup for "no": getent unable to find entry "no" in group database'),
        ("alice:99", 'Gid 99 has no entry in /etc/passwd: getent unable to find entry "99" in group database'),
        ("1:2:3", 'Invalid user/group specification in --userns-remap: "1:2:3"'),
    ],
)
def test_who_is_not_there_is_named(value: str, message: str) -> None:
    with pytest.raises(InvalidRemapping) as caught:
        remapping.owners_of(value)
    assert str(caught.value) == message


def test_a_user_without_ids_is_refused(tmp_path: Path) -> None:
    (tmp_path / "SUBGID").write_text("")
    with pytest.raises(InvalidRemapping, match=r'^Can\'t create ID mappings: no subgid ranges found for user "alice"$'):
        remapping.owners_of("alice")


def test_a_new_range_begins_behind_all_others(tmp_path: Path) -> None:
    assert remapping._free(str(tmp_path / "SUBUID")) == 100_000
    (tmp_path / "SUBUID").write_text("bob:165536:65536\nalice:100000:65536\n")
    assert remapping._free(str(tmp_path / "SUBUID")) == 231_072


def test_a_root_that_others_do_not_get_to_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "chown", lambda *_, **__: None)
    (tmp_path / "closed").mkdir(mode=0o700)
    with pytest.raises(UnreachableRoot) as caught:
        remapping.root_of(str(tmp_path / "closed" / "root"), Owners((Range(0, 1000, 9),), (Range(0, 2000, 9),)))
    path = tmp_path / "closed" / "root" / "1000.2000"
    assert f"a subdirectory in your graphroot path ({path}) restricts access to the remapped root uid/gid" in str(
        caught.value
    )


def test_a_root_whose_maker_was_killed_is_made_ready(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    given: list[tuple[object, ...]] = []
    monkeypatch.setattr(os, "chown", lambda *arguments: given.append(arguments))
    monkeypatch.setattr(remapping, "_require_reachable", lambda *_: None)
    owners = Owners((Range(0, 1000, 9),), (Range(0, 2000, 9),))
    path, root = tmp_path / "root", tmp_path / "root" / "1000.2000"
    path.mkdir(mode=0o700)
    assert remapping.root_of(str(path), owners) == str(root)
    assert given == [(str(path), 0, 2000), (str(root), 0, 2000)]
    given.clear()
    remapping.root_of(str(path), owners)
    assert given == [(str(root), 0, 2000)]
    (root / "containers").mkdir()
    given.clear()
    remapping.root_of(str(path), owners)
    assert given == []
    assert (path.stat().st_mode & 0o777, root.stat().st_mode & 0o777) == (0o710, 0o710)

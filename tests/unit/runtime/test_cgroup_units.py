"""A process that outlives the systemd unit which it was started in: it is moved to a group of lamina's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from lamina.runtime import cgroup


def moved(home: Path, membership: str) -> list[str]:
    """Directories, relative to ``home``, that the process was moved to."""
    file = home.parent / "membership"
    file.write_text(membership)
    cgroup.leave_unit(str(home), str(file))
    return sorted(str(found.parent.relative_to(home)) for found in home.rglob("cgroup.procs"))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def test_version_2_has_one_hierarchy_for_it(home: Path) -> None:
    (home / "cgroup.controllers").touch()
    assert moved(home, "0::/system.slice/backup.service\n") == ["lamina/monitors"]
    assert (home / "lamina/monitors/cgroup.procs").read_bytes() == b"0"


def test_version_1_has_systemds_own_and_hybrid_both(home: Path) -> None:
    (home / "systemd").mkdir()
    (home / "unified").mkdir()
    membership = "8:pids:/user.slice\n1:name=systemd:/user.slice/session-1.scope\n0::/user.slice/session-1.scope\n"
    assert moved(home, membership) == ["systemd/lamina/monitors", "unified/lamina/monitors"]


def test_who_is_in_no_unit_stays(home: Path) -> None:
    (home / "cgroup.controllers").touch()
    assert moved(home, "0::/\n") == []
    assert moved(home, "0::/lamina/monitors\n") == []


def test_who_may_not_move_stays(home: Path) -> None:
    cgroup.leave_unit(str(home), str(home / "missing"))
    (home / "lamina").touch()  # where no directory can be made
    (home / "cgroup.controllers").touch()
    assert moved(home, "0::/user.slice/session-1.scope\n") == []

"""Moving this process to where it is: tried, repeated, ended, and never an error."""

import time
from pathlib import Path

from lamina.runtime import cgroup


def test_the_own_group_is_written_to(tmp_path: Path) -> None:
    membership = tmp_path / "cgroup"
    membership.write_text("8:pids:/some/group\n1:name=systemd:/\n0::/unified\n")
    group = tmp_path / "pids/some/group"
    group.mkdir(parents=True)
    (group / "cgroup.procs").touch()
    cgroup.warm_up(str(tmp_path), str(membership))()
    assert (group / "cgroup.procs").read_bytes() == b"0"


def test_a_host_with_version_2_has_one_group(tmp_path: Path) -> None:
    membership = tmp_path / "cgroup"
    membership.write_text("0::/user.slice\n")
    (tmp_path / "user.slice").mkdir()
    (tmp_path / "user.slice/cgroup.procs").touch()
    cgroup.warm_up(str(tmp_path), str(membership))()
    assert (tmp_path / "user.slice/cgroup.procs").read_bytes() == b"0"


def test_it_goes_on_until_it_is_ended(tmp_path: Path) -> None:
    membership = tmp_path / "cgroup"
    membership.write_text("0::/\n")
    procs = tmp_path / "cgroup.procs"
    procs.touch()
    finish = cgroup.warm_up(str(tmp_path), str(membership), seconds=60)
    deadline = time.monotonic() + 10
    while procs.stat().st_size < 3 and time.monotonic() < deadline:
        time.sleep(0.001)
    finish()
    written = procs.read_bytes()
    assert written.startswith(b"000")
    time.sleep(0.02)
    assert procs.read_bytes() == written


def test_without_the_right_nothing_happens(tmp_path: Path) -> None:
    cgroup.warm_up(str(tmp_path), str(tmp_path / "missing"))()

"""Groups below one that was given to an ordinary user."""

from __future__ import annotations

from pathlib import Path

import pytest

from lamina.container import controlgroup
from lamina.errors import SystemFailure
from lamina.runtime import cgroup, controllers
from lamina.runtime.cgroup import Delegation


@pytest.fixture
def joined(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the delegation ``/user/lamina.scope`` was asked for."""
    asked: list[str] = []
    monkeypatch.setattr(cgroup, "_delegations", [])
    cgroup.use(Delegation("/user/lamina.scope", lambda: asked.append("join")))
    return asked


@pytest.mark.usefixtures("joined")
def test_containers_are_below_it_and_nothing_climbs_out() -> None:
    assert controlgroup.path("abc") == "/user/lamina.scope/lamina/abc"
    assert controlgroup.path("abc", "../../x") == "/user/lamina.scope/x/abc"


@pytest.mark.usefixtures("joined")
def test_it_has_the_controllers_that_were_given(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpuset cpu io memory pids\n")
    assert not cgroup.is_writable(str(tmp_path))
    assert not controllers.read(str(tmp_path)).memory
    group = tmp_path / "user/lamina.scope"
    group.mkdir(parents=True)
    (group / "cgroup.controllers").write_text("cpu pids\n")
    found = controllers.read(str(tmp_path))
    assert cgroup.is_writable(str(tmp_path))
    assert (found.pids, found.quota, found.memory, found.cpuset, found.block_throttle) == (True, True, *[False] * 3)


def test_a_process_joins_instead_of_leaving_its_unit(joined: list[str], tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").touch()
    (tmp_path / "membership").write_text("0::/user.slice/session-1.scope\n")
    cgroup.leave_unit(str(tmp_path), str(tmp_path / "membership"))
    cgroup.join()
    assert joined == ["join", "join"]
    assert not (tmp_path / "lamina").exists()


def test_who_can_not_join_goes_on_to_what_the_runtime_says(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused() -> None:
        raise SystemFailure("no bus")

    monkeypatch.setattr(cgroup, "_delegations", [Delegation("/x", refused)])
    cgroup.leave_unit()
    with pytest.raises(SystemFailure, match="no bus"):
        cgroup.join()

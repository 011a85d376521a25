"""Damaged overlay2 metadata is found, said and mended; nothing of this needs root."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lamina.errors import Corrupt, NoSpace
from lamina.graphdriver.overlay2 import Overlay2Driver, layout


@pytest.fixture
def driver(tmp_path: Path) -> Overlay2Driver:
    """Three layers: bottom, middle, top."""
    made = Overlay2Driver(str(tmp_path))
    made.create("bottom", None)
    made.create("middle", "bottom")
    made.create("top", "middle")
    return made


ALL = frozenset({"bottom", "middle", "top"})


def files_of(driver: Overlay2Driver) -> dict[str, str]:
    """Every metadata file's content and every link's target."""
    found = {}
    for directory, _, names in os.walk(driver.home):
        for name in names:
            path = os.path.join(directory, name)
            found[path] = Path(path).read_text()
    for name in os.listdir(f"{driver.home}/l"):
        found[f"{driver.home}/l/{name}"] = os.readlink(f"{driver.home}/l/{name}")
    return found


def link_of(driver: Overlay2Driver, layer: str) -> Path:
    return Path(driver.home, "l", Path(driver.home, layer, "link").read_text())


def repair_all(driver: Overlay2Driver, referenced: frozenset[str] = ALL) -> None:
    for problem in list(driver.problems(referenced)):
        assert problem.repairable, problem
        driver.repair(problem)
        driver.repair(problem)


def test_the_layout_is_dockers(driver: Overlay2Driver) -> None:
    def mode(path: str) -> str:
        return oct(os.lstat(f"{driver.home}/{path}").st_mode & 0o7777)

    assert set(os.listdir(driver.home)) == {"l", "bottom", "middle", "top"}
    assert (mode(""), mode("l"), mode("top")) == ("0o710", "0o700", "0o710")
    assert set(os.listdir(f"{driver.home}/bottom")) == {"committed", "diff", "link"}
    assert set(os.listdir(f"{driver.home}/middle")) == {"committed", "diff", "link", "lower", "work"}
    assert set(os.listdir(f"{driver.home}/top")) == {"diff", "link", "lower", "work"}
    assert (mode("top/diff"), mode("top/work"), mode("middle/committed")) == ("0o755", "0o700", "0o600")
    links = {name: Path(driver.home, name, "link").read_text() for name in ALL}
    assert all(len(link) == 26 and set(link) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") for link in links.values())
    assert Path(driver.home, "top", "lower").read_text() == f"l/{links['middle']}:l/{links['bottom']}"
    assert os.readlink(link_of(driver, "top")) == "../top/diff"
    assert os.path.getsize(f"{driver.home}/middle/committed") == 0


def test_metadata_is_what_docker_inspect_shows(driver: Overlay2Driver) -> None:
    home = driver.home
    assert driver.metadata("top") == {
        "LowerDir": f"{home}/middle/diff:{home}/bottom/diff",
        "MergedDir": f"{home}/top/merged",
        "UpperDir": f"{home}/top/diff",
        "WorkDir": f"{home}/top/work",
    }
    assert "LowerDir" not in driver.metadata("bottom")


@pytest.mark.parametrize("content", ["", "l/", "x/AAAA", "l/A:B", "l/../../etc", "l/AAAA:l/AAAA", "\0" * 57])
def test_a_damaged_lower_file_is_corruption_and_comes_back_from_the_layer_above(
    driver: Overlay2Driver, content: str
) -> None:
    before = files_of(driver)
    Path(driver.home, "middle", "lower").write_text(content)
    with pytest.raises(Corrupt, match="middle/lower"):
        driver.parent_ids("middle")
    with pytest.raises(Corrupt):
        driver.create("more", "middle")
    assert not driver.exists("more")
    (problem,) = driver.problems(ALL)
    assert (problem.kind, problem.path) == ("damaged", f"{driver.home}/middle/lower")
    repair_all(driver)
    assert files_of(driver) == before


def test_a_missing_lower_file_is_not_mistaken_for_a_bottom_layer(driver: Overlay2Driver) -> None:
    before = files_of(driver)
    os.unlink(f"{driver.home}/middle/lower")
    with pytest.raises(Corrupt, match="is missing"):
        driver.parent_ids("middle")
    repair_all(driver)
    assert files_of(driver) == before


def test_a_top_layers_lower_file_comes_back_from_who_knows_its_parent(driver: Overlay2Driver) -> None:
    before = files_of(driver)
    Path(driver.home, "top", "lower").write_text("")
    (problem,) = driver.problems(ALL)
    assert not problem.repairable
    driver.restore_parent("top", "middle")
    assert files_of(driver) == before


@pytest.mark.parametrize("content", ["", "../../etc/passwd", "\0" * 26])
def test_a_damaged_link_file_comes_back_from_the_symbolic_link(driver: Overlay2Driver, content: str) -> None:
    before = files_of(driver)
    Path(driver.home, "middle", "link").write_text(content)
    with pytest.raises(Corrupt, match="middle/link"):
        driver.create("more", "middle")
    repair_all(driver)
    assert files_of(driver) == before


def test_a_missing_symbolic_link_comes_back_from_the_link_file(driver: Overlay2Driver) -> None:
    before = files_of(driver)
    link_of(driver, "bottom").unlink()
    with pytest.raises(Corrupt, match="missing or leads nowhere"):
        driver.parent_ids("top")
    repair_all(driver)
    assert files_of(driver) == before


@pytest.mark.parametrize("layer", ["bottom", "middle"])
def test_link_file_and_symbolic_link_both_lost_come_back_from_the_layers_above(
    driver: Overlay2Driver, layer: str
) -> None:
    before = files_of(driver)
    link_of(driver, layer).unlink()
    os.unlink(f"{driver.home}/{layer}/link")
    for problem in list(driver.problems(ALL)):
        if problem.repairable:
            driver.repair(problem)
    assert list(driver.problems(ALL)) == []
    assert files_of(driver) == before


def test_a_top_layer_that_lost_its_link_gets_a_new_one(driver: Overlay2Driver) -> None:
    link_of(driver, "top").unlink()
    os.unlink(f"{driver.home}/top/link")
    repair_all(driver)
    assert list(driver.problems(ALL)) == []
    assert link_of(driver, "top").is_symlink()


def test_cycles_and_foreign_stacks_are_said(driver: Overlay2Driver) -> None:
    own, lower = link_of(driver, "top").name, Path(driver.home, "top", "lower")
    lower.write_text(f"l/{own}")
    (problem,) = driver.problems(ALL)
    assert (problem.kind, problem.what) == ("damaged", "the layer is below itself")
    driver.create("other", None)
    lower.write_text(f"l/{link_of(driver, 'middle').name}:l/{link_of(driver, 'other').name}")
    (problem,) = driver.problems(ALL | {"other"})
    assert "differs from that of its parent middle" in problem.what


def test_a_layer_without_content_is_missing(driver: Overlay2Driver) -> None:
    os.rmdir(f"{driver.home}/bottom/diff")
    kinds = {problem.kind for problem in driver.problems(ALL)}
    assert kinds == {"missing"}
    with pytest.raises(Corrupt):
        driver.parent_ids("top")


def test_strays_are_reclaimed(driver: Overlay2Driver) -> None:
    before = files_of(driver)
    os.makedirs(f"{driver.home}/opaque-bug-check123/l1/d")
    Path(driver.home, ".tmp-link123").write_text("x")
    os.symlink("../gone/diff", f"{driver.home}/l/" + "A" * 26)
    os.symlink("../top/diff", f"{driver.home}/l/" + "B" * 26)
    os.symlink("/etc", f"{driver.home}/l/" + "C" * 26)
    os.symlink("/etc", f"{driver.home}/symlink")
    os.mkdir(f"{driver.home}/top/merged")
    os.makedirs(f"{driver.home}/top/work/work/incompat/volatile/dirty")
    driver.create("orphan", "top")
    assert len(list(driver.problems(ALL))) == 9
    repair_all(driver)
    os.unlink(f"{driver.home}/top/committed")
    assert files_of(driver) == before
    assert list(driver.problems(ALL)) == []
    assert os.path.exists("/etc/passwd")


def test_what_a_crash_left_of_a_layer_is_removed(driver: Overlay2Driver) -> None:
    before = files_of(driver)
    os.makedirs(f"{driver.home}/half/diff")
    os.symlink("../half/diff", f"{driver.home}/l/" + "A" * 26)
    driver.remove("half")
    assert files_of(driver) == before


def test_a_layer_whose_link_file_names_another_takes_only_its_own_link_along(driver: Overlay2Driver) -> None:
    bottom = link_of(driver, "bottom")
    Path(driver.home, "top", "link").write_text(bottom.name)
    driver.remove("top")
    assert bottom.is_symlink()


def test_a_full_disk_is_said_and_leaves_nothing(driver: Overlay2Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    before = files_of(driver)

    def full(path: str, data: bytes, mode: int) -> None:
        raise OSError(28, "No space left on device", path)

    monkeypatch.setattr(layout, "_write", full)
    with pytest.raises(NoSpace, match="no space left on device"):
        driver.create("more", "top")
    assert files_of(driver) == before
    assert not driver.exists("more")


def test_link_names_do_not_collide(driver: Overlay2Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    draws = iter([b"\0" * 26, b"\0" * 26, b"\1" * 26])
    monkeypatch.setattr(os, "urandom", lambda count: next(draws) if count == 26 else b"\2" * count)
    driver.create("one", None)
    driver.create("two", None)
    assert link_of(driver, "one").name != link_of(driver, "two").name


def test_opening_and_looking_write_nothing(tmp_path: Path) -> None:
    driver = Overlay2Driver(str(tmp_path))
    assert list(driver.ids()) == []
    assert not driver.exists("x")
    driver.remove("x")
    driver.unmount("x")
    driver.sync()
    assert driver.status()
    assert list(driver.problems(frozenset())) == []
    assert os.listdir(tmp_path) == []

"""Which driver a root gets, and the reasons that are told."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lamina.errors import Unsupported
from lamina.graphdriver import choice, explain, open_driver


def with_images(root: Path, driver: str) -> None:
    (root / "image" / driver / "imagedb" / "content" / "sha256" / ("0" * 64)).mkdir(parents=True)


def chosen(root: Path, name: str | None = None) -> list[str]:
    return [option.name for option in explain(str(root), name) if option.chosen]


@pytest.fixture
def no_overlay(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(root: str) -> str:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(choice, "_overlay_obstacle", refuse)
    monkeypatch.setattr(choice, "_fuse_obstacle", lambda: "/dev/fuse can't be used: No such file or directory")


@pytest.fixture
def overlay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "_overlay_obstacle", lambda root: None)


@pytest.mark.usefixtures("overlay")
def test_a_new_root_gets_overlay2_where_it_works(tmp_path: Path) -> None:
    assert open_driver(str(tmp_path)).name == "overlay2"


@pytest.mark.usefixtures("no_overlay")
def test_a_new_root_gets_vfs_where_overlayfs_does_not_work_and_the_reason_is_told(tmp_path: Path) -> None:
    assert open_driver(str(tmp_path)).name == "vfs"
    reasons = {option.name: option.reason for option in explain(str(tmp_path))}
    assert "Operation not permitted" in reasons["overlay2"]


@pytest.mark.usefixtures("no_overlay")
def test_a_new_root_gets_fuse_where_only_overlayfs_does_not_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choice, "_fuse_obstacle", lambda: None)
    assert open_driver(str(tmp_path)).name == "fuse-overlayfs"
    reasons = {option.name: option.reason for option in explain(str(tmp_path))}
    assert reasons["vfs"] == "a better one works"
    assert "only for roots that have images in it" in reasons["aufs"]


@pytest.mark.usefixtures("overlay")
@pytest.mark.parametrize("driver", ["fuse-overlayfs", "aufs"])
def test_a_root_with_images_of_an_older_driver_is_opened_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, driver: str
) -> None:
    monkeypatch.setattr(choice, "_fuse_obstacle", lambda: None)
    with_images(tmp_path, driver)
    assert open_driver(str(tmp_path)).name == driver


@pytest.mark.usefixtures("overlay")
def test_fuse_is_another_word_for_the_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "_fuse_obstacle", lambda: None)
    assert open_driver(str(tmp_path), "fuse").name == "fuse-overlayfs"


@pytest.mark.usefixtures("no_overlay")
def test_a_driver_that_is_asked_for_is_taken_or_nothing_is(tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match=r"storage driver overlay2: overlayfs can't be mounted"):
        open_driver(str(tmp_path), "overlay2")
    with pytest.raises(Unsupported, match=r"storage driver devicemapper: not supported"):
        open_driver(str(tmp_path), "devicemapper")
    assert open_driver(str(tmp_path), "vfs").name == "vfs"


@pytest.mark.usefixtures("overlay")
def test_images_decide(tmp_path: Path) -> None:
    with_images(tmp_path, "vfs")
    assert chosen(tmp_path) == ["vfs"]
    with_images(tmp_path, "overlay2")
    assert chosen(tmp_path) == ["overlay2"]


@pytest.mark.usefixtures("overlay")
def test_empty_stores_decide_nothing(tmp_path: Path) -> None:
    (tmp_path / "image" / "vfs" / "imagedb" / "content" / "sha256").mkdir(parents=True)
    assert chosen(tmp_path) == ["overlay2"]


@pytest.mark.usefixtures("overlay")
def test_images_of_a_foreign_driver_are_not_hidden_by_a_new_store(tmp_path: Path) -> None:
    with_images(tmp_path, "btrfs")
    with pytest.raises(Unsupported, match=r"btrfs: not supported by lamina, but .* holds its images"):
        open_driver(str(tmp_path))
    assert chosen(tmp_path, "vfs") == ["vfs"]


@pytest.mark.usefixtures("no_overlay")
def test_a_root_with_overlay2_images_is_not_opened_with_vfs_when_overlayfs_fails(tmp_path: Path) -> None:
    with_images(tmp_path, "overlay2")
    with pytest.raises(Unsupported, match=r"overlayfs can't be mounted"):
        open_driver(str(tmp_path))


@pytest.mark.root
def test_the_probe_leaves_nothing(tmp_path: Path) -> None:
    assert chosen(tmp_path) in (["overlay2"], ["vfs"])
    assert os.listdir(tmp_path) == []

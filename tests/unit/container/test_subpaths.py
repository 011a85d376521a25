"""What ``volume-subpath`` means in a volume that others change."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from lamina.container import subpaths
from lamina.linux import files, openat2


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    """The volume of moby's own test, with a secret beside it."""
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "outside").mkdir()
    volume = tmp_path / "volume"
    (volume / "subdir").mkdir(parents=True)
    (volume / "hack").mkdir()
    (volume / "bar.txt").write_text("foo")
    for name, target in (
        ("root", "/"),
        ("good", "../subdir"),
        ("bad", "root"),
        ("up", "../../outside"),
        ("nowhere", "none"),
        ("loop", "loop"),
        ("magic", "/proc/self/cwd"),
        ("inside", str(volume / "subdir")),
    ):
        (volume / "hack" / name).symlink_to(target)
    return volume


@pytest.mark.parametrize(
    ("subpath", "found"),
    [("subdir", "subdir"), ("hack/good", "subdir"), ("bar.txt", "bar.txt"), ("hack/../subdir/.", "subdir"), (".", "")],
)
def test_links_inside_the_volume_are_followed(volume: Path, subpath: str, found: str) -> None:
    descriptor = subpaths.resolve(str(volume), subpath)
    try:
        assert os.path.samestat(os.fstat(descriptor), (volume / found).stat())
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("subpath", ["hack/root", "hack/bad", "hack/up", "hack/up/secret", "hack/magic", "hack/inside"])
def test_links_out_of_the_volume_are_refused(volume: Path, subpath: str) -> None:
    with pytest.raises(subpaths.LeavesVolume) as caught:
        subpaths.resolve(str(volume), subpath)
    said = f"path concatenation escapes the base directory, base: {volume}, subpath: {subpath}"
    assert str(caught.value) == said


@pytest.mark.parametrize(
    ("subpath", "missing"),
    [("none", "none"), ("a/b/c", "a"), ("hack/good/x", "hack/good/x"), ("hack/nowhere", "hack/nowhere")],
)
def test_the_first_directory_that_is_missing_is_named(volume: Path, subpath: str, missing: str) -> None:
    with pytest.raises(subpaths.NotAccessible) as caught:
        subpaths.resolve(str(volume), subpath)
    assert (
        str(caught.value)
        == f"cannot access path {volume}/{subpath}: lstat {volume}/{missing}: no such file or directory"
    )


@pytest.mark.parametrize(("subpath", "why"), [("bar.txt/x", "not a directory"), ("hack/loop", "too many levels")])
def test_a_path_that_can_not_be_walked_is_told(volume: Path, subpath: str, why: str) -> None:
    with pytest.raises(subpaths.Unresolvable, match=why):
        subpaths.resolve(str(volume), subpath)


def test_a_volume_that_is_a_link_itself_is_not_followed(volume: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(volume)
    with pytest.raises(NotADirectoryError):
        subpaths.resolve(str(tmp_path / "link"), "subdir")


def test_links_swapped_in_a_loop_lead_nowhere_else(volume: Path, tmp_path: Path) -> None:
    """Whatever the moment, the answer is the directory in the volume or an error."""
    outside, swap = (tmp_path / "outside").stat(), volume / "swap"
    swap.symlink_to(tmp_path / "outside")
    done = threading.Event()

    def exchange() -> None:
        while not done.is_set():
            files.renameat2(str(swap), str(volume / "subdir"), flags=files.RENAME_EXCHANGE)

    attacker = threading.Thread(target=exchange)
    attacker.start()
    found, refused = 0, 0
    try:
        while min(found, refused) < 20:
            try:
                descriptor = subpaths.resolve(str(volume), "subdir")
            except (subpaths.LeavesVolume, subpaths.NotAccessible):
                refused += 1
                continue
            assert not os.path.samestat(os.fstat(descriptor), outside)
            assert os.readlink(openat2.descriptor_path(descriptor)).startswith(f"{volume}/")
            os.close(descriptor)
            found += 1
    finally:
        done.set()
        attacker.join()

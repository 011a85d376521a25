"""Flags of ``COPY`` and ``ADD`` that decide what is copied, and as what."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from support.building import build, inspect, refused
from support.command import Lamina

pytestmark = [pytest.mark.root, pytest.mark.needs("crun")]


def tree_of(lamina: Lamina, context: Path, dockerfile: str) -> dict[str, tuple[str, str]]:
    """Mode, owner and content of all files but directories' owners, of a build on nothing."""
    out = context.parent / "out"
    build(lamina, context, dockerfile, f"--output={out}")
    found = {}
    for path in sorted(out.rglob("*")):
        status = path.lstat()
        content = path.read_text() if path.is_file() else ""
        found[str(path.relative_to(out))] = f"{status.st_mode & 0o7777:o} {status.st_uid}", content
    return found


@pytest.fixture
def files(context: Path) -> Path:
    for name in ("x/a.txt", "x/y/b.txt", "x/y/c.md"):
        path = context / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
        path.chmod(0o600)
    (context / "x" / "y").chmod(0o750)
    return context


def test_parents_come_along_as_they_are(built: Lamina, files: Path) -> None:
    found = tree_of(built, files, "FROM scratch\nCOPY --parents x/y/b.txt x/./y/c.md ./x/./**/a.txt /to/\n")
    assert found == {
        "to": ("755 0", ""),
        "to/a.txt": ("600 0", "x/a.txt"),
        "to/x": ("755 0", ""),
        "to/x/y": ("750 0", ""),
        "to/x/y/b.txt": ("600 0", "x/y/b.txt"),
        "to/y": ("750 0", ""),
        "to/y/c.md": ("600 0", "x/y/c.md"),
    }


def test_a_directory_with_parents_keeps_its_name(built: Lamina, files: Path) -> None:
    found = tree_of(built, files, "FROM scratch\nCOPY --parents --exclude=**/*.md --chown=7:7 x/y /to\n")
    assert found == {
        "to": ("755 7", ""),
        "to/x": ("755 7", ""),
        "to/x/y": ("750 7", ""),
        "to/x/y/b.txt": ("600 7", "x/y/b.txt"),
    }


def test_symbolic_modes_depend_on_what_was(built: Lamina, files: Path) -> None:
    found = tree_of(built, files, "FROM scratch\nCOPY --chmod=u=rwX,go=rX x /to\n")
    assert {name: facts for name, (facts, _) in found.items()} == {
        "to": "755 0",
        "to/a.txt": "644 0",
        "to/y": "755 0",
        "to/y/b.txt": "644 0",
        "to/y/c.md": "644 0",
    }
    assert "invalid chmod parameter: 'u=q'" in refused(built, files, "FROM scratch\nCOPY --chmod=u=q x /to\n")


def test_names_of_chown_are_those_of_the_image(built: Lamina, files: Path) -> None:
    (files / "passwd").write_text("someone:x:1234:1235::/:\n")
    (files / "group").write_text("some:x:4321:\n")
    dockerfile = "FROM scratch\nCOPY passwd group /etc/\nCOPY --chown=someone:some x/a.txt /to\n"
    assert tree_of(built, files, dockerfile)["to"] == ("600 1234", "x/a.txt")
    said = refused(built, files, "FROM scratch\nCOPY --chown=nobody-there x/a.txt /to\n")
    assert "no such user: nobody-there" in said


def test_a_parent_that_is_a_link_does_not_lead_out_of_the_context(built: Lamina, files: Path) -> None:
    (files.parent / "outside").mkdir()
    (files.parent / "outside" / "secret").write_text("secret")
    os.symlink(files.parent / "outside", files / "door")
    for source in ("door/secret", "door/./secret", "./door/../../outside/secret"):
        assert "file not found" in refused(built, files, f"FROM scratch\nCOPY --parents {source} /to/\n")


def test_a_linked_copy_is_cached_on_other_layers_too(built: Lamina, files: Path) -> None:
    dockerfile = "FROM busybox\nRUN echo {number} > /below\nCOPY --link --chown=5:6 x /to/x\nCOPY x /plain\n"
    build(built, files, dockerfile.format(number=1), "-t", "one")
    said = build(built, files, dockerfile.format(number=2), "-t", "two", f"--output={files.parent}/out")
    assert said.count("CACHED") == 1
    out = files.parent / "out"
    assert ((out / "below").read_text(), (out / "to/x/y/b.txt").read_text()) == ("2\n", "x/y/b.txt")
    assert (out / "to/x/a.txt").stat().st_uid == 5
    one, two = (inspect(built, name)["RootFS"]["Layers"] for name in ("one", "two"))
    assert one[-3] != two[-3]
    assert one[-2] == two[-2]
    assert build(built, files, dockerfile.format(number=2)).count("CACHED") == 3
    (files / "x" / "a.txt").write_text("changed")
    assert build(built, files, dockerfile.format(number=2)).count("CACHED") == 1
    assert built.run("system", "fsck").returncode == 0


def test_a_linked_copy_does_not_follow_links_of_the_layers_below(built: Lamina, files: Path) -> None:
    build(
        built,
        files,
        "FROM busybox\nRUN mkdir /real && ln -s /real /door && echo kept > /real/kept\nCOPY --link x/a.txt /door/\n"
        "COPY --link --chown=root x/a.txt /real/\n",
        f"--output={files.parent}/out",
    )
    out = files.parent / "out"
    assert not (out / "door").is_symlink()
    assert sorted(os.listdir(out / "door")) == ["a.txt"]
    assert sorted(os.listdir(out / "real")) == ["a.txt", "kept"]


def test_a_linked_copy_moves_on_drivers_with_whole_trees_too(lamina_on: Any, files: Path, busybox_archive: str) -> None:
    lamina = lamina_on(files.parent / "vfs", "--storage-driver", "vfs")
    lamina("load", "--input", busybox_archive)
    dockerfile = "FROM busybox\nCOPY {source} /below\nCOPY --link x/y /to\n"
    build(lamina, files, dockerfile.format(source="x/a.txt"))
    said = build(lamina, files, dockerfile.format(source="x/y/c.md"), f"--output={files.parent}/out")
    assert said.count("CACHED") == 1
    assert (files.parent / "out/below").read_text() + (files.parent / "out/to/b.txt").read_text() == "x/y/c.mdx/y/b.txt"

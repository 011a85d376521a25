"""Flags of ``COPY`` and ``ADD`` that decide what is copied, and as what."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from support.building import build, refused
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

"""What sources of ``COPY`` select with ``--parents`` and ``--exclude``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lamina.builder.selection import excluder, of_tree
from lamina.builder.tree import NoSuchSource, Tree


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Tree]:
    for name in ("a.txt", "x/a.txt", "x/y/b.txt", "x/y/c.md", "x/z/b.txt", "w/y/b.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    made = Tree(str(tmp_path), owned=False)
    yield made
    made.close()


@pytest.mark.parametrize(
    ("source", "kept"),
    [
        ("x/y/b.txt", [("x/y/b.txt", "x/y")]),
        ("./x/y/b.txt", [("x/y/b.txt", "x/y")]),
        ("a.txt", [("a.txt", "")]),
        ("x/y", [("x/y", "x/y")]),
        ("x/./y/b.txt", [("x/y/b.txt", "y")]),
        ("/x/./y", [("x/y", "y")]),
        ("x/*/b.txt", [("x/y/b.txt", "x/y"), ("x/z/b.txt", "x/z")]),
        ("x/./**/*.txt", [("x/a.txt", ""), ("x/y/b.txt", "y"), ("x/z/b.txt", "z")]),
        ("**/y", [("w/y", "w/y"), ("x/y", "x/y")]),
        ("*/./y/b.txt", [("w/y/b.txt", "y"), ("x/y/b.txt", "y")]),
        ("../x/../a.txt", [("a.txt", "")]),
        ("**/nothing", []),
    ],
)
def test_parents_are_kept_after_the_pivot(tree: Tree, source: str, kept: list[tuple[str, str]]) -> None:
    selection = of_tree(tree, [source], parents=True)
    assert [(piece.found.path, piece.parents) for piece in selection.pieces()] == kept


def test_a_missing_source_is_told_with_parents_too(tree: Tree) -> None:
    with pytest.raises(NoSuchSource):
        of_tree(tree, ["x/./none"], parents=True)


def test_excluded_files_are_relative_to_what_is_copied_and_do_not_count(tree: Tree, tmp_path: Path) -> None:
    def digests(*sources: str) -> tuple[str, ...]:
        return of_tree(tree, sources, excludes=excluder(["*.txt", "y/*.md"])).digests

    before = digests("x")
    (tmp_path / "x" / "a.txt").write_text("changed")
    (tmp_path / "x" / "y" / "c.md").write_text("changed")
    assert digests("x") == before
    (tmp_path / "x" / "y" / "b.txt").write_text("changed")
    assert digests("x") != before
    assert digests("*.txt", "x/a.txt") == ()


def test_excluded_files_are_relative_to_the_pivot(tree: Tree) -> None:
    selection = of_tree(tree, ["x/./**/*.txt"], parents=True, excludes=excluder(["y/*"]))
    assert [piece.found.path for piece in selection.pieces()] == ["x/a.txt", "x/z/b.txt"]

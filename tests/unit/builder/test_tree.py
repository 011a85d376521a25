"""Sources of ``COPY``: what a path means, and what decides its digest."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lamina.builder.sums import FileSums
from lamina.builder.tree import NoSuchSource, Tree
from lamina.dockerfile.ignore import PatternMatcher


@pytest.fixture
def context(tmp_path: Path) -> Path:
    directory = tmp_path / "context"
    (directory / "dir" / "sub").mkdir(parents=True)
    (directory / "a").write_text("a")
    (directory / "dir" / "b").write_text("b")
    (directory / "dir" / "sub" / "c").write_text("c")
    return directory


@pytest.fixture
def tree(context: Path) -> Iterator[Tree]:
    made = Tree(str(context), owned=False)
    yield made
    made.close()


def digest(context: Path, path: str, **options: object) -> str:
    made = Tree(str(context), owned=False, **options)  # type: ignore[arg-type]
    try:
        return made.find(path)[0].digest
    finally:
        made.close()


@pytest.mark.parametrize("path", ["a", "/a", "./a", "../a", "dir/../a"])
def test_paths_are_relative_to_the_tree(tree: Tree, path: str) -> None:
    assert [found.path for found in tree.find(path)] == ["a"]


def test_a_pattern_does_not_cross_a_slash(tree: Tree) -> None:
    assert [found.path for found in tree.find("*")] == ["a", "dir"]
    assert [found.path for found in tree.find("dir/*")] == ["dir/b", "dir/sub"]
    assert [found.path for found in tree.find("d?r/[b-c]")] == ["dir/b"]


def test_a_link_is_resolved_with_the_tree_as_root(context: Path, tree: Tree) -> None:
    (context / "inside").symlink_to("/dir/b")
    (context / "outside").symlink_to("/etc/passwd")
    assert tree.find("inside")[0].path == "dir/b"
    with pytest.raises(NoSuchSource):
        tree.find("outside")


def test_content_name_and_mode_decide_and_times_do_not(context: Path) -> None:
    first = digest(context, "a")
    os.utime(context / "a", (1, 1))
    assert digest(context, "a") == first
    (context / "a").chmod(0o600)
    other = digest(context, "a")
    assert other != first
    (context / "a").write_text("b")
    assert digest(context, "a") not in (first, other)


def test_a_directory_counts_with_all_that_is_in_it(context: Path) -> None:
    first = digest(context, "dir")
    (context / "dir" / "sub" / "c").write_text("d")
    assert digest(context, "dir") != first


def test_what_is_ignored_neither_exists_nor_counts(context: Path) -> None:
    ignored = PatternMatcher(["dir/sub", "a"])
    first = digest(context, "dir", ignored=ignored)
    (context / "dir" / "sub" / "c").write_text("d")
    assert digest(context, "dir", ignored=ignored) == first
    with pytest.raises(NoSuchSource):
        digest(context, "a", ignored=ignored)


def test_a_digest_is_kept_until_the_file_changes(context: Path, tmp_path: Path) -> None:
    time.sleep(0.05)
    kept = str(tmp_path / "sums")
    sums = FileSums(kept)
    first = digest(context, "a", sums=sums)
    sums.save()
    (known,) = FileSums(kept)._known.values()
    assert known[5] == first.removeprefix("file:")
    stat = os.stat(context / "a")
    (context / "a").write_text("b")
    os.utime(context / "a", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert digest(context, "a", sums=FileSums(kept)) != first


@pytest.mark.parametrize("content", ["", "[]", "{", '{"a": 1}', '{"a": [1, 2, 3, 4, 5, 6]}', "\0"])
def test_a_damaged_record_of_digests_is_none(context: Path, tmp_path: Path, content: str) -> None:
    (tmp_path / "sums").write_text(content)
    assert digest(context, "a", sums=FileSums(str(tmp_path / "sums"))) == digest(context, "a")


def test_an_excluded_directory_comes_bare_where_docker_does_not_send_it(context: Path) -> None:
    (context / "dir" / "sub").chmod(0o700)
    named = PatternMatcher(["dir", "!dir/sub/c"])
    found = PatternMatcher(["dir", "!**/c"])
    for matcher, bare in ((named, True), (found, False)):
        made = Tree(str(context), owned=False, ignored=matcher)
        assert made.is_bare("dir") is made.is_bare("dir/sub") is bare
        assert not made.is_bare("")
        made.close()
    before = [digest(context, ".", ignored=matcher) for matcher in (named, found)]
    (context / "dir" / "sub").chmod(0o711)
    after = [digest(context, ".", ignored=matcher) for matcher in (named, found)]
    assert before[0] == after[0]
    assert before[1] != after[1]

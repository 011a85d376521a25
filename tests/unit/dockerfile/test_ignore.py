"""What ``.dockerignore`` leaves out."""

from __future__ import annotations

import pytest

from lamina.dockerfile.ignore import PatternMatcher, read_ignore
from lamina.errors import InvalidArgument


def test_a_file_is_read_as_docker_reads_it() -> None:
    text = b"\xef\xbb\xbf# comment\n\n  a/../b/ \r\n/c\n!/d\n! e//f\n #no comment\n/\n"
    assert read_ignore(text) == ["b", "c", "!d", "!e/f", "#no comment", "/"]


@pytest.mark.parametrize(
    ("patterns", "left_out", "kept"),
    [
        (["a"], ["a", "a/b", "a/b/c"], ["b/a", "aa"]),
        (["*"], ["a", "a/b", ".a"], ["."]),
        (["*.md"], ["a.md", ".md"], ["a/b.md", "a.mdx"]),
        (["*/*.md"], ["a/b.md", "a/b.md/c"], ["a.md", "a/b/c.md"]),
        (["a?c"], ["abc", "aéc"], ["ac", "a/c"]),
        (["**"], ["a", "a/b"], ["."]),
        (["**/a"], ["a", "b/a", "b/c/a", "b/a/d"], ["ba", "b/ca"]),
        (["**/*.go"], ["a.go", "b/c/a.go"], ["a.gox"]),
        (["a/**"], ["a/b", "a/b/c"], ["a", "ab"]),
        (["a/**/b"], ["a/b", "a/c/b", "a/c/d/b"], ["a/cb", "b"]),
        (["a/**/b/**/*.c"], ["a/b/x.c", "a/1/b/2/x.c"], ["a/x.c"]),
        (["a[b-d]e"], ["ace"], ["aae", "ae"]),
        (["a[^b-d]e"], ["aze"], ["abe"]),
        (["[a^]"], ["a", "^"], ["b"]),
        (["a\\*b"], ["a*b"], ["axb"]),
        (["a.|)$(}+{bc"], ["a.|)$(}+{bc"], ["a"]),
        (["*", "!b", "!c/d"], ["a", "c", "c/e"], ["b", "b/x", "c/d"]),
        (["!a", "a"], ["a"], []),
        (["a/b", "!a"], [], ["a", "a/b", "a/b/c"]),
        (["/a"], [], ["a"]),
        (["*.md", "!README*.md", "README-secret.md"], ["a.md", "README-secret.md"], ["README.md"]),
        (["a*b*c*d"], ["abcd", "a1b2c3d"], ["abdc", "a/bcd"]),
    ],
)
def test_patterns_leave_out_what_docker_leaves_out(patterns: list[str], left_out: list[str], kept: list[str]) -> None:
    matcher = PatternMatcher(patterns)
    assert [path for path in left_out if not matcher.matches(path)] == []
    assert [path for path in kept if matcher.matches(path)] == []


@pytest.mark.parametrize("pattern", ["[", "a[", "a\\", "[]", "!"])
def test_a_malformed_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(InvalidArgument):
        PatternMatcher([pattern])


@pytest.mark.parametrize("patterns", [["a", "!a/b/c"], ["**/b", "!**/c"], ["*", "!a"], ["a/*", "!a/b"]])
def test_a_walk_finds_what_single_questions_find(patterns: list[str]) -> None:
    matcher = PatternMatcher(patterns)
    state: tuple[bool, ...] = ()
    for path in ("a", "a/b", "a/b/c", "a/b/c/d"):
        left_out, state = matcher.descend(path, state)
        assert left_out == matcher.matches(path), path


def test_a_directory_can_be_skipped_unless_an_exception_may_be_below() -> None:
    assert PatternMatcher(["a"]).may_skip("a")
    assert PatternMatcher(["a", "!b/c"]).may_skip("a")
    assert not PatternMatcher(["a", "!a/b/c"]).may_skip("a/b")
    assert not PatternMatcher(["a", "!**/c"]).may_skip("a")
    assert not PatternMatcher(["a", "!a/b/**"]).may_skip("a")


def test_docker_looks_into_a_directory_that_an_exception_begins_with() -> None:
    assert PatternMatcher(["a", "!a/b/*"]).is_entered("a")
    assert PatternMatcher(["a", "!a"]).is_entered("a")
    assert not PatternMatcher(["a", "!a/b"]).is_entered("a/c")
    assert not PatternMatcher(["a", "!*/b", "!**/b", "!ab/c"]).is_entered("a")

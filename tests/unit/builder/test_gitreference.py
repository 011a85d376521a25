"""What names a git repository, and what is refused."""

from __future__ import annotations

import pytest

from lamina.builder.gitreference import BadGitReference, GitReference, parse


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("https://host/a/b.git", GitReference("https://host/a/b.git")),
        ("http://host:8080/b.git#main", GitReference("http://host:8080/b.git", "main")),
        ("https://host/b.git#v1.0:dir/sub", GitReference("https://host/b.git", "v1.0", "dir/sub")),
        ("https://host/b.git#:dir", GitReference("https://host/b.git", "", "dir")),
        ("https://user@host/b.git#refs/pull/1/head", GitReference("https://user@host/b.git", "refs/pull/1/head")),
        ("ssh://git@host:22/b#x", GitReference("ssh://git@host:22/b", "x")),
        ("git://host/b", GitReference("git://host/b")),
        ("git@host:a/b.git#x:y", GitReference("git@host:a/b.git", "x", "y")),
        ("someone@host.example:b", GitReference("someone@host.example:b")),
    ],
)
def test_these_are_repositories(text: str, reference: GitReference) -> None:
    assert parse(text) == reference


@pytest.mark.parametrize(
    "text",
    [
        "https://host/file.tar.gz",
        "https://host/",
        "https://host/b.github",
        "https://host/file#b.git",
        "file:///srv/b.git",
        "ext::sh -c touch% /x",
        "ftp://host/b.git",
        "b.git",
        "dir/b.git#x",
        "github.com/a/b",
        "https://[::1/b.git",
    ],
)
def test_these_are_none(text: str) -> None:
    assert parse(text) is None


def test_the_hub_of_hubs_needs_no_scheme_as_a_context() -> None:
    assert parse("github.com/a/b#x", context=True) == GitReference("https://github.com/a/b", "x")


@pytest.mark.parametrize(
    "text",
    [
        "https://host/b.git#--upload-pack=touch /x",
        "https://host/b.git#-x",
        "https://host/b.git#a b",
        "https://host/b.git#a..b",
        "https://host/b.git#refs/heads/*",
        "https://host/b.git#a^{tree}",
        "https://host/b.git#a\nb",
        "https://host/b.git#main:../..",
        "ssh://-oProxyCommand=touch/b.git",
        "git@-oProxyCommand:b.git",
        "git@host:-b.git",
        "https:///b.git",
        "https://host/a b.git",
        "https://host:port/b.git",
    ],
)
def test_these_are_refused(text: str) -> None:
    with pytest.raises(BadGitReference):
        parse(text)


@pytest.mark.parametrize(
    ("ref", "is_commit"), [("a" * 40, True), ("a" * 39, False), ("main", False), ("A" * 40, False)]
)
def test_only_a_whole_commit_can_not_change(ref: str, is_commit: bool) -> None:
    assert GitReference("https://host/b.git", ref).is_commit is is_commit

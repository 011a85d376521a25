"""Buildkit's own cases for its Dockerfile parser and its variable expansion.

They are not part of this repository: ``LAMINA_BUILDKIT_TESTFILES`` names the directory ``frontend/dockerfile`` of a
buildkit source tree.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lamina.dockerfile.expansion import expand, expand_words
from lamina.dockerfile.failure import InvalidInstruction, quoted
from lamina.dockerfile.lines import SourceLines
from lamina.dockerfile.parser import parse, read_sources
from lamina.dockerfile.statement import Statement

_DIRECTORY = os.environ.get("LAMINA_BUILDKIT_TESTFILES", "")

pytestmark = pytest.mark.skipif(not _DIRECTORY, reason="LAMINA_BUILDKIT_TESTFILES names no buildkit sources")


def _cases(kind: str) -> list[Path]:
    return sorted(Path(_DIRECTORY, "parser", kind).iterdir()) if _DIRECTORY else []


def _dump(statement: Statement) -> str:
    """The form of the ``result`` files."""
    out = statement.keyword.lower()
    if statement.flags:
        out += " [" + " ".join(map(quoted, statement.flags)) + "]"
    if statement.trigger:
        return f"{out} ({_dump(statement.trigger)})"
    return out + "".join(f" {quoted(word)}" for word in statement.arguments)


def _rows(name: str) -> Iterator[str]:
    for line in Path(_DIRECTORY, "shell", name).read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            yield line


@pytest.mark.parametrize("case", _cases("testfiles"), ids=lambda case: case.name)
def test_a_file_has_the_parse_tree_that_buildkit_says(case: Path) -> None:
    sources = read_sources(SourceLines(case.joinpath("Dockerfile").read_bytes(), "Dockerfile"))
    trees = "\n".join(f"({_dump(source.statement)})" for _, source in sources)
    assert trees == case.joinpath("result").read_text().rstrip("\n")


@pytest.mark.parametrize("case", _cases("testfiles-negative"), ids=lambda case: case.name)
def test_a_file_that_buildkit_refuses_is_refused(case: Path) -> None:
    with pytest.raises(InvalidInstruction):
        parse(case.joinpath("Dockerfile").read_bytes())


def test_every_row_of_the_variable_table_expands_as_it_says() -> None:
    variables = {"PWD": "/home", "SHELL": "bash", "KOREAN": "한국어", "NULL": ""}
    wrong = []
    count = 0
    for row in _rows("envVarTest"):
        platform, word, expected = (part.strip() for part in row.strip().split("|"))
        if platform == "W":
            continue
        count += 1
        try:
            found = expand(word, variables)
        except InvalidInstruction:
            found = "error"
        if found != expected:
            wrong.append((word, expected, found))
    assert not wrong
    assert count > 200


def test_every_row_of_the_table_of_words_splits_as_it_says() -> None:
    variables: dict[str, str] = {}
    for row in _rows("wordsTest"):
        if row.startswith("ENV "):
            name, _, value = row[4:].lstrip(" ").partition("=")
            variables[name] = value
            continue
        text, expected = row.split("|")
        try:
            words = expand_words(text.strip(), variables)
        except InvalidInstruction:
            words = ["error"]
        assert words == expected.lstrip(" ").split(","), row

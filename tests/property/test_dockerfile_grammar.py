"""Any text is cut into instructions as the official parser cuts it, and nothing makes ours fail in another way.

The official parser comes as the package ``dockerfile``; without it only the second half is tested.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from lamina.dockerfile.expansion import expand
from lamina.dockerfile.failure import DockerfileError, InvalidInstruction
from lamina.dockerfile.lines import SourceLines
from lamina.dockerfile.parser import parse, read_sources
from lamina.dockerfile.statement import Statement

SETTINGS = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])

KEYWORDS = (
    *("FROM", "RUN", "CMD", "ENTRYPOINT", "COPY", "ADD", "ENV", "ARG", "LABEL", "EXPOSE", "VOLUME", "USER"),
    *("WORKDIR", "SHELL", "STOPSIGNAL", "HEALTHCHECK", "ONBUILD", "ONBUILD RUN", "MAINTAINER", "run", "Env", "BOGUS"),
)
#: Of any other, and of an ONBUILD in an ONBUILD, the official parser's binding does not give the arguments.
STATEMENTS = {keyword.upper() for keyword in KEYWORDS if keyword not in ("BOGUS", "ONBUILD")}
WORDS = (
    *("a", "b=c", "x=$y", "x='a b'", 'y="a b"', "'", '"', "\\", "\\ ", "`", "é", "$a", "${a:-b}", "CMD", "NONE", "AS"),
    *("--a", "--a=b", "--a='b c'", "--", "-", "---", "#", "<<", "<<EOF", "<<-EOF", "<<'EOF'", "3<<EOF", "EOF"),
    *('["a", "b"]', "[]", '["a", 1]', '["a"', "[", "]", '"a"]', '["\\u0061"]', "[['a']]", "=", "==", "a=b=c"),
)
BLANKS = (" ", "  ", "\t", "\f", "")
ENDS = ("\n", "\r\n", " \\\n", "\\\n", "\\ \n", "`\n", "\\\\\n", "\n\n", "\n# comment\n", " \\\n# comment\n", "\\\n\n")


@st.composite
def lines(draw: st.DrawFn) -> str:
    words = draw(st.lists(st.tuples(st.sampled_from(BLANKS), st.sampled_from(WORDS)), max_size=5))
    start = draw(st.sampled_from(("", "", "", " ", "\t", "# ", "#")))
    keyword = draw(st.sampled_from((*KEYWORDS, "EOF", "")))
    body = keyword + draw(st.sampled_from((" ", " ", "\t", ""))) + "".join(blank + word for blank, word in words)
    return start + body + draw(st.sampled_from(ENDS))


directive = st.sampled_from(("", "", "", "# escape=`\n", "#escape=\\\n", "# syntax=a b\n", "# escape=x\n", "\ufeff"))
files = st.builds(lambda first, rest: first + "".join(rest), directive, st.lists(lines(), max_size=6))


class _Cut(NamedTuple):
    keyword: str
    trigger: str | None
    json: bool
    flags: tuple[str, ...]
    words: tuple[str, ...]
    lines: tuple[int, int]
    heredocs: tuple[tuple[str, int, str], ...]


def _theirs(text: str) -> list[_Cut] | None:
    dockerfile: Any = pytest.importorskip("dockerfile", reason="the official parser is not installed")
    try:
        return [
            _Cut(
                (found.cmd or "").lower(),
                found.sub_cmd and found.sub_cmd.lower(),
                found.json,
                found.flags,
                found.value if (found.sub_cmd or found.cmd or "").upper() in STATEMENTS else (),
                (found.start_line, found.end_line),
                tuple((heredoc.name, heredoc.file_descriptor, heredoc.content) for heredoc in found.heredocs),
            )
            for found in dockerfile.parse_string(text)
        ]
    except dockerfile.GoParseError:
        return None


def _known(words: tuple[str, ...], statement: Statement) -> tuple[str, ...]:
    return words if statement.keyword.upper() in STATEMENTS else ()


def _ours(text: str) -> list[_Cut] | None:
    found: list[_Cut] = []
    try:
        sources = read_sources(SourceLines(text.encode(), "Dockerfile"))
    except DockerfileError:
        return None
    for _, source in sources:
        statement = source.statement
        words = statement.arguments[1:] if statement.trigger else statement.arguments
        if (statement.trigger or statement).keyword.lower() in ("env", "label"):
            words = tuple(word for number, word in enumerate(words) if number % 3 != 2)
        location = source.origin.location
        found.append(
            _Cut(
                statement.keyword.lower(),
                statement.trigger and statement.trigger.keyword.lower(),
                (statement.trigger or statement).json,
                statement.flags,
                _known(words, statement.trigger or statement),
                (location.line, location.end_line),
                tuple((heredoc.name, heredoc.descriptor, heredoc.content) for heredoc in source.heredocs),
            )
        )
    return found or None


def _comparable(text: str) -> bool:
    """Whether the official parser, in the version that is packaged, is known to do what Docker does today.

    It does not know a blank before a heredoc's name, takes only a backslash as escape character in flags, and reads
    flags byte by byte.
    """
    flags_differ = "--" in text and ("escape=`" in text or not text.isascii())
    return not flags_differ and not re.search(r"<<-?[\s\\`]", text)


def _failure(call: Callable[[], object]) -> InvalidInstruction | None:
    try:
        call()
    except InvalidInstruction as failure:
        return failure
    return None


@SETTINGS
@given(files)
@example("FROM a\nRUN <<EOF <<E2\na\nEOF\nb\nE2\n")
@example("FROM a\nRUN echo \\\n  # no\n\n  b\n")
def test_a_file_is_cut_as_the_official_parser_cuts_it(text: str) -> None:
    assume(_comparable(text))
    theirs = _theirs(text)
    ours = _ours(text)
    assert ours == theirs


@SETTINGS
@given(st.binary(max_size=300) | files.map(str.encode))
def test_any_bytes_are_a_dockerfile_or_an_error_with_a_place(data: bytes) -> None:
    failure = _failure(lambda: parse(data))
    assert failure is None or (isinstance(failure, DockerfileError) and failure.line >= 1 and failure.column >= 1)


@SETTINGS
@given(
    st.text(alphabet="ab$\\'\"{}:-+?#%/* <", max_size=40), st.dictionaries(st.sampled_from("ab"), st.text(max_size=5))
)
def test_any_word_expands_or_is_refused(word: str, variables: dict[str, str]) -> None:
    failure = _failure(lambda: expand(word, variables))
    assert failure is None or str(failure).startswith("failed to process ")


@given(st.text(alphabet="abc /=.", max_size=40))
def test_a_word_without_special_characters_stays_as_it_is(word: str) -> None:
    assume("<" not in word)
    assert expand(word, {"a": "x"}) == word

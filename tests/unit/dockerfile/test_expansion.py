"""Quotes, escapes and variables."""

from __future__ import annotations

import re
from typing import Any

import pytest

from lamina.dockerfile.expansion import Expander, expand, expand_words, expanded
from lamina.dockerfile.failure import InvalidInstruction
from lamina.dockerfile.instructions import Instruction
from lamina.dockerfile.lexer import Lexer
from lamina.dockerfile.parser import parse_instruction

VARIABLES = {"A": "x", "EMPTY": "", "PATH": "/usr/bin:/bin", "FILE": "a.tar.gz", "STAR": "a*b"}


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("$A${A}a", "xxa"),
        ("$A_", ""),
        ("$", "$"),
        ("$.", "$."),
        ("$1a$@b", "ab"),
        ("'$A'\"$A\"", "$Ax"),
        ("\\$A", "$A"),
        ('"\\$A\\n\\""', '$A\\n"'),
        ("a\\ b\\\\", "a b\\"),
        ("end\\", "end"),
        ("${A:-y}${EMPTY:-y}${NONE:-y}", "xyy"),
        ("${A-y}${EMPTY-y}${NONE-y}", "xy"),
        ("${A:+y}${EMPTY:+y}${NONE:+y}", "y"),
        ("${A+y}${EMPTY+y}${NONE+y}", "yy"),
        ("${A:?y}${A?y}${EMPTY?y}", "xx"),
        ("${NONE:-${NONE:-${A}}}", "x"),
        ("${NONE:-'a }'\\}}", "a }}"),
        ("${FILE#*.}", "tar.gz"),
        ("${FILE##*.}", "gz"),
        ("${FILE%.*}", "a.tar"),
        ("${FILE%%.*}", "a"),
        ("${FILE#?}${FILE%%$A}", ".tar.gza.tar.gz"),
        ("${FILE/a/b}${FILE//a/b}", "b.tar.gzb.tbr.gz"),
        ("${PATH//\\//_}", "_usr_bin:_bin"),
        ("${PATH/:*/}", "/usr/bin"),
        ("${STAR#a\\*}${STAR#?\\*}", "bb"),
        ("${NONE/a/b}${NONE#a}", ""),
        ("한$A", "한x"),
        ("<<EOF", "<<EOF"),
        ("a/b}c", "a/b}c"),
    ],
)
def test_a_word_expands_as_in_docker(word: str, expected: str) -> None:
    assert expand(word, VARIABLES) == expected


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("'a", "unexpected end of statement while looking for matching single-quote"),
        ('"a', "unexpected end of statement while looking for matching double-quote"),
        ('"a\\', "unexpected end of statement while looking for matching double-quote"),
        ("${A", "syntax error: missing '}'"),
        ("${A:-b", "syntax error: missing '}'"),
        ("${A/b", "syntax error: missing '/' in ${}"),
        ("${A/b/c", "syntax error: missing '}'"),
        ("${}", "syntax error: bad substitution"),
        ("${:a}", "syntax error: bad substitution"),
        ("${A:=b}", "unsupported modifier (:=) in substitution"),
        ("${A:#b}", "unsupported modifier (:#) in substitution"),
        ("${A!b}", "unsupported modifier (!) in substitution"),
        ("${NONE?}", "NONE: is not allowed to be unset"),
        ("${EMPTY:?}", "EMPTY: is not allowed to be empty"),
        ("${NONE:?say $A}", "NONE: say x"),
        ("${A#\\b}", "invalid pattern (\\b) in substitution: invalid escape '\\b'"),
    ],
)
def test_a_malformed_word_is_refused_with_dockers_message(word: str, message: str) -> None:
    with pytest.raises(InvalidInstruction) as caught:
        expand(word, VARIABLES)
    assert re.sub(r"^failed to process \"(?:[^\"\\]|\\.)*\": ", "", str(caught.value)) == message


def test_words_end_at_blanks_that_are_not_quoted_even_inside_a_variable() -> None:
    assert expand_words(" a 'b c' \\ d$S \"$S\" ", {"S": "1  2"}) == ["a", "b c", " d1", "2", "1  2"]
    assert expand_words("'' $NONE", {}) == []


def test_the_escape_character_can_be_the_backtick() -> None:
    assert expand('C:\\dir`$A"`""', {"A": "x"}, "`") == 'C:\\dir$A"'


def test_what_was_asked_for_is_reported() -> None:
    found = Lexer().process("$A ${B:-$C} ${D:+$E}", {"A": "1", "D": "2"})
    assert (found.matched, found.unmatched) == ({"A", "D"}, {"B", "C", "E"})


def test_unset_variables_can_stay_as_written() -> None:
    lexer = Lexer(keep_unset=True)
    text = "$B ${B} ${B:-c} ${B#c} ${B/c/d} $A"
    assert lexer.process(text, {"A": "x"}).text == "$B ${B} ${B:-c} ${B#c} ${B/c/d} x"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ENV $A=${A}y", {"pairs": (("x", "xy", False),)}),
        ("LABEL a='$A' b=\"$A\"", {"pairs": (("a", "$A", False), ("b", "x", False))}),
        (
            "COPY --chown=$A --chmod=$A --from=$A --exclude=$A $A /$A",
            {"chown": "x", "chmod": "x", "stage": "$A", "exclude": ("$A",), "sources": ("x",), "destination": "/x"},
        ),
        ("COPY <<E <<'F' /\n\"$A\" \\$A\nE\n$A\nF", {"contents": (("E", '"x" $A\n', True), ("F", "$A\n", False))}),
        ("ADD --checksum=$A $A /", {"checksum": "x", "sources": ("x",)}),
        ("EXPOSE $PORTS", {"ports": ("80", "90/udp")}),
        ("USER $A", {"user": "x"}),
        ("WORKDIR /$A", {"path": "/x"}),
        ("VOLUME $A", {"paths": ("x",)}),
        ("STOPSIGNAL $A", {"signal": "x"}),
        ("ARG B=$A", {"arguments": (("B", "$A", ""),)}),
        ("RUN echo $A", {"command": (("echo $A",), True, ())}),
        ("CMD echo $A", {"command": (("echo $A",), True, ())}),
    ],
)
def test_variables_are_replaced_where_docker_replaces_them(text: str, expected: dict[str, Any]) -> None:
    found: Instruction = expanded(parse_instruction(text), {"A": "x", "PORTS": "80 90/udp"})
    fields = found._asdict()
    assert {name: fields[name] for name in expected} == expected


def test_an_expander_remembers_what_was_not_set() -> None:
    expander = Expander({"A": "x"})
    expander.instruction(parse_instruction("ENV A=$B C=$A$D"))
    assert list(expander.unmatched) == ["B", "D"]

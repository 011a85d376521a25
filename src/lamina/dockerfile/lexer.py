"""Words of an instruction: quotes, escapes and variables (buildkit's ``frontend/dockerfile/shell``).

Quotes and the escape character are taken away, ``$name`` and ``${...}`` replaced in bare words and between double
quotes, never between single quotes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from lamina.dockerfile.blank import BLANKS
from lamina.dockerfile.failure import InvalidInstruction, quoted
from lamina.dockerfile.shellpattern import LONGEST, ShellPattern, too_long
from lamina.typing import NamedTuple

#: Substitutions inside substitutions: more than this is an attack.
_DEEPEST = 64
_UNSATISFIED = {True: "is not allowed to be unset", False: "is not allowed to be empty"}
_SPECIAL_PARAMETERS = "@*#?-$!0"
_SPLIT = re.compile(f"[{BLANKS}]+")


class Expansion(NamedTuple):
    """What became of a word. ``words``: the text split at blanks that were neither quoted nor escaped.

    ``matched`` and ``unmatched`` are the names of variables that were asked for, set and not set.
    """

    text: str
    words: list[str]
    matched: frozenset[str]
    unmatched: frozenset[str]


class Lexer(NamedTuple):
    """How words are read.

    :param escape: the character of the ``escape`` directive.
    :param raw_quotes: quotes stay in the result.
    :param raw_escapes: escape characters stay in the result.
    :param plain_quotes: quotes are characters like any other, as in the content of a heredoc.
    :param keep_unset: a variable that is not set stays as it was written.
    """

    escape: str = "\\"
    raw_quotes: bool = False
    raw_escapes: bool = False
    plain_quotes: bool = False
    keep_unset: bool = False

    def process(self, word: str, variables: Mapping[str, str]) -> Expansion:
        """Raises :class:`InvalidInstruction`, which quotes ``word``."""
        reading = _Reading(self, word, variables)
        try:
            text, words = reading.until("", self.raw_escapes)
        except InvalidInstruction as error:
            raise InvalidInstruction(f"failed to process {quoted(word)}: {error}", at=word) from None
        return Expansion(text, words, frozenset(reading.matched), frozenset(reading.unmatched))


class _Words:
    """The words so far, and the one being read."""

    def __init__(self) -> None:
        self._done: list[str] = []
        self._word: list[str] = []

    def add(self, text: str) -> None:
        """Text whose blanks end words."""
        first, *more = _SPLIT.split(text)
        self._word.append(first)
        for part in more:
            self._end()
            self._word.append(part)

    def add_raw(self, text: str) -> None:
        """Text that was quoted or escaped."""
        self._word.append(text)

    def finish(self) -> list[str]:
        self._end()
        return self._done

    def _end(self) -> None:
        if word := "".join(self._word):
            self._done.append(word)
        self._word.clear()


class _Reading:
    """One word being read."""

    def __init__(self, lexer: Lexer, text: str, variables: Mapping[str, str]) -> None:
        self._lexer = lexer
        self._text = text
        self._variables = variables
        self._position = 0
        self._depth = 0
        self._length = 0
        self._raw_escapes = lexer.raw_escapes
        quotes = "" if lexer.plain_quotes else "'\""
        self._plain = re.compile(f"[^{re.escape(lexer.escape)}$<{quotes}}}/]+")
        self.matched: set[str] = set()
        self.unmatched: set[str] = set()

    def _peek(self) -> str:
        return self._text[self._position : self._position + 1]

    def _next(self) -> str:
        char = self._peek()
        self._position += len(char)
        return char

    def until(self, end: str, raw_escapes: bool) -> tuple[str, list[str]]:
        """Text and words up to ``end``, which is consumed; an empty ``end`` is the end of the text."""
        if self._depth >= _DEEPEST:
            raise InvalidInstruction(f"substitutions are nested more than {_DEEPEST} deep")
        outer, self._raw_escapes = self._raw_escapes, raw_escapes
        self._depth += 1
        out: list[str] = []
        words = _Words()
        while char := self._peek():
            if char == end:
                self._position += 1
                break
            self._piece(char, out, words)
        else:
            if end:
                raise InvalidInstruction(f"unexpected end of statement while looking for matching {end}")
        self._depth -= 1
        self._raw_escapes = outer
        return "".join(out), words.finish()

    def _piece(self, char: str, out: list[str], words: _Words) -> None:
        if match := self._plain.match(self._text, self._position):
            self._position = match.end()
            out.append(match.group())
            words.add(match.group())
        elif char == "$":
            value = self._variable()
            self._length += len(value)
            if self._length > LONGEST:
                raise too_long()
            out.append(value)
            words.add(value)
        elif char in "'\"" and not self._lexer.plain_quotes:
            text = self._single_quoted() if char == "'" else self._double_quoted()
            out.append(text)
            words.add_raw(text)
        elif char == "<":
            text = self._possible_heredoc()
            out.append(text)
            words.add_raw(text)
        elif char == self._lexer.escape:
            text = self._escaped()
            out.append(text)
            words.add_raw(text)
        else:
            self._position += 1
            out.append(char)
            words.add(char)

    def _escaped(self) -> str:
        escape = self._next()
        return (escape if self._raw_escapes else "") + self._next()

    def _possible_heredoc(self) -> str:
        """``<<`` keeps the blanks after it, so that ``<< EOF`` is one word."""
        start = self._position
        self._position += 1
        if self._peek() != "<":
            return "<"
        self._position += 1
        while self._peek() and self._peek() in "\t\r ":
            self._position += 1
        return self._text[start : self._position]

    def _single_quoted(self) -> str:
        start = self._position
        end = self._text.find("'", start + 1)
        if end < 0:
            raise InvalidInstruction("unexpected end of statement while looking for matching single-quote")
        self._position = end + 1
        return self._text[start : end + 1] if self._lexer.raw_quotes else self._text[start + 1 : end]

    def _double_quoted(self) -> str:
        quote = self._next() if self._lexer.raw_quotes else self._next()[:0]
        out: list[str] = [quote]
        while char := self._peek():
            if char == '"':
                self._position += 1
                return "".join([*out, quote])
            if char == "$":
                out.append(self._variable())
                continue
            self._position += 1
            if char == self._lexer.escape:
                if self._raw_escapes:
                    out.append(char)
                following = self._peek()
                if not following:
                    break
                if following in ('"', "$", self._lexer.escape):
                    char = self._next()
            out.append(char)
        raise InvalidInstruction("unexpected end of statement while looking for matching double-quote")

    def _name(self) -> str:
        """A name; or digits, or one special parameter, neither of which is ever set."""
        start = self._position
        first = self._peek()
        if first and first in _SPECIAL_PARAMETERS and not first.isdecimal():
            self._position += 1
            return first
        digits = first.isdecimal()
        while char := self._peek():
            if not (char.isdecimal() or (not digits and (char.isalpha() or char == "_"))):
                break
            self._position += 1
        return self._text[start : self._position]

    def _value(self, name: str) -> str | None:
        value = self._variables.get(name)
        (self.unmatched if value is None else self.matched).add(name)
        return value

    def _variable(self) -> str:
        self._position += 1
        if self._peek() != "{":
            name = self._name()
            if not name:
                return "$"
            value = self._value(name)
            return f"${name}" if value is None and self._lexer.keep_unset else value or ""
        self._position += 1
        first = self._peek()
        if not first:
            raise InvalidInstruction("syntax error: missing '}'")
        if first in "{}:":
            raise InvalidInstruction("syntax error: bad substitution")
        return self._braced(self._name())

    def _braced(self, name: str) -> str:
        operator = self._next()
        if operator == "}":
            value = self._value(name)
            return f"${{{name}}}" if value is None and self._lexer.keep_unset else value or ""
        if operator == "/":
            return self._replacing(name)
        colon = operator == ":"
        if colon:
            operator = self._next()
        if not operator:
            raise InvalidInstruction("syntax error: missing '}'")
        modifier = ":" + operator if colon else operator
        if operator not in "+-?#%" or (colon and operator in "#%"):
            raise InvalidInstruction(f"unsupported modifier ({modifier}) in substitution")
        word = self._operand("}", operator in "#%")
        value = self._value(name)
        if value is None and self._lexer.keep_unset:
            return f"${{{name}{modifier}{word}}}"
        if operator in "#%":
            longest = word[:1] == operator
            pattern = ShellPattern(word[1:] if longest else word)
            trim = pattern.without_prefix if operator == "#" else pattern.without_suffix
            return trim(value or "", longest=longest)
        missing = value is None or (colon and not value)
        if operator == "+":
            return "" if missing else word
        if operator == "?" and missing:
            raise InvalidInstruction(f"{name}: {word or _UNSATISFIED[value is None]}")
        return word if missing else value or ""

    def _replacing(self, name: str) -> str:
        everywhere = self._peek() == "/"
        self._position += everywhere
        pattern = self._operand("/", True, "'/' in ${}")
        replacement = self._operand("}", True)
        value = self._value(name)
        if value is None and self._lexer.keep_unset:
            return f"${{{name}/{pattern}/{replacement}}}"
        return ShellPattern(pattern).replace(value or "", replacement, everywhere=everywhere)

    def _operand(self, end: str, raw_escapes: bool, missing: str = "'}'") -> str:
        try:
            return self.until(end, raw_escapes)[0]
        except InvalidInstruction as error:
            if self._position >= len(self._text):
                raise InvalidInstruction(f"syntax error: missing {missing}") from None
            raise error

"""Cuts a template into text and the tokens of its actions."""

from __future__ import annotations

import re
from collections.abc import Iterator

from lamina.typing import NamedTuple


class TemplateSyntaxError(Exception):
    """The template doesn't parse; the message is Go's."""

    def __init__(self, line: int, message: str, name: str = "") -> None:
        super().__init__(f"template: {name}:{line}: {message}")
        self.line = line
        self.message = message


class Token(NamedTuple):
    """``kind`` is ``text``, ``open``, ``close`` or, inside an action, a group name of the pattern below.

    :ivar position: offset in the template.
    :ivar spaced: whether white space stands before it.
    """

    kind: str
    value: str
    position: int
    spaced: bool = False


_TOKEN = re.compile(
    r"""
    (?P<string>"(?:[^"\\\n]|\\.)*"|`[^`]*`)
  | (?P<character>'(?:[^'\\\n]|\\.)+')
  | (?P<number>[+-]?(?:0[xXbBoO][0-9a-fA-F_]+|(?:[0-9][0-9_]*\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?))
  | (?P<field>\.[^\W\d]\w*)
  | (?P<dot>\.)
  | (?P<variable>\$\w*)
  | (?P<name>[^\W\d]\w*)
  | (?P<declare>:=)
  | (?P<assign>=)
  | (?P<pipe>\|)
  | (?P<comma>,)
  | (?P<left>\()
  | (?P<right>\))
    """,
    re.VERBOSE,
)
_SPACE = " \t\r\n"


def line_of(text: str, position: int) -> int:
    """Line number, from 1, of an offset."""
    return text.count("\n", 0, position) + 1


def tokens(text: str) -> Iterator[Token]:
    """All tokens. Comments and trimmed white space are gone.

    :raises TemplateSyntaxError: an action, comment or text constant that does not end; a character that means nothing.
    """
    position = 0
    trim = False
    while True:
        start = text.find("{{", position)
        piece = text[position:] if start < 0 else text[position:start]
        if trim:
            piece = piece.lstrip(_SPACE)
        if start >= 0 and text.startswith("-", start + 2) and text[start + 3 : start + 4] in tuple(_SPACE):
            piece = piece.rstrip(_SPACE)
        if piece:
            yield Token("text", piece, position)
        if start < 0:
            return
        position = start + 2
        if text.startswith("-", position) and text[position + 1 : position + 2] in tuple(_SPACE):
            position += 1
        if text.startswith("/*", position) or text[position:].lstrip(_SPACE).startswith("/*"):
            position, trim = _after_comment(text, position)
            continue
        yield Token("open", "{{", start)
        position, trim, found = _action(text, position)
        yield from found


def _after_comment(text: str, position: int) -> tuple[int, bool]:
    end = text.find("*/", position)
    if end < 0:
        raise TemplateSyntaxError(line_of(text, position), "unclosed comment")
    end += 2
    if text.startswith(" -}}", end):
        return end + 4, True
    if text.startswith("}}", end):
        return end + 2, False
    raise TemplateSyntaxError(line_of(text, position), "comment ends before closing delimiter")


def _action(text: str, position: int) -> tuple[int, bool, list[Token]]:
    """Tokens up to and with ``}}``, where the text goes on, and whether white space there is trimmed."""
    found: list[Token] = []
    while True:
        start = position
        while position < len(text) and text[position] in _SPACE:
            position += 1
        spaced = position > start
        if spaced and text.startswith("-}}", position):
            return position + 3, True, [*found, Token("close", "}}", position)]
        if text.startswith("}}", position):
            return position + 2, False, [*found, Token("close", "}}", position)]
        if position >= len(text):
            raise TemplateSyntaxError(line_of(text, position), "unclosed action")
        match = _TOKEN.match(text, position)
        if match is None:
            raise TemplateSyntaxError(line_of(text, position), _unexpected(text[position]))
        assert match.lastgroup is not None
        found.append(Token(match.lastgroup, match[0], position, spaced))
        position = match.end()


def _unexpected(character: str) -> str:
    if character == '"':
        return "unterminated quoted string"
    if character == "`":
        return "unterminated raw quoted string"
    if character == "'":
        return "unterminated character constant"
    return (
        f"unexpected {character!r} in command"
        if character in "{}"
        else f"unrecognized character in action: U+{ord(character):04X} '{character}'"
    )

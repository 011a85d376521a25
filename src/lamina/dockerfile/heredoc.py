"""``<<NAME`` in an instruction (buildkit's parser; quoting of the name as in a shell)."""

from __future__ import annotations

import re

from lamina.dockerfile.failure import InvalidInstruction
from lamina.dockerfile.instructions import Heredoc
from lamina.dockerfile.lexer import Lexer

_HEREDOC = re.compile(r"([0-9]*)<<(-?)[\t\n\f\r ]*([^<]*)\Z")
_LEADING_TABS = re.compile("^\t+", re.MULTILINE)
_HIGHEST_DESCRIPTOR = 2**64 - 1


def heredocs_in(line: str) -> list[Heredoc]:
    """The heredocs that ``line`` announces, without content. Raises :class:`InvalidInstruction` for an open quote."""
    if "<<" not in line:
        return []
    try:
        words = Lexer(raw_quotes=True, raw_escapes=True, keep_unset=True).process(line, {}).words
    except InvalidInstruction:
        return []
    return [heredoc for word in words if (heredoc := parse_heredoc(word)) is not None]


def parse_heredoc(word: str) -> Heredoc | None:
    """The heredoc that ``word`` announces, or ``None``. Raises :class:`InvalidInstruction` for an open quote."""
    match = _HEREDOC.match(word)
    if match is None or not match.group(3):
        return None
    descriptor, dash, name = match.groups()
    words = Lexer(keep_unset=True).process(name, {}).words
    if len(words) != 1:
        return None
    raw = Lexer(raw_quotes=True, keep_unset=True).process(name, {}).words
    quotes = sum(raw[0].count(quote) - words[0].count(quote) for quote in "'\"")
    number = min(int(descriptor[:20] or 0), _HIGHEST_DESCRIPTOR)
    return Heredoc(words[0], "", expand=not quotes, chomp=bool(dash), descriptor=number)


def announced(word: str) -> Heredoc | None:
    """As :func:`parse_heredoc`; a word that is malformed announces nothing."""
    try:
        return parse_heredoc(word)
    except InvalidInstruction:
        return None


def without_leading_tabs(content: str) -> str:
    """What ``<<-`` makes of a heredoc's content."""
    return _LEADING_TABS.sub("", content)

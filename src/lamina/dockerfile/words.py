"""Words of a Dockerfile instruction: splitting, quotes, escapes and variables.

Grammar: Docker's "Dockerfile reference", sections Parser directives, Environment replacement, ENV and LABEL. The
escape character is the backslash. Variables are replaced in bare words and inside double quotes, not inside single
quotes.
"""

from __future__ import annotations

from collections.abc import Mapping

from lamina.errors import InvalidArgument

_BLANK = " \t"


class InvalidInstruction(InvalidArgument):
    """A Dockerfile instruction that Docker refuses too; the message is Docker's."""


def split(text: str) -> list[str]:
    """Split at blanks that are neither quoted nor escaped; quotes and escapes stay in the words."""
    words: list[str] = []
    word, quote, position = "", "", 0
    while position < len(text):
        char = text[position]
        if char == "\\" and quote != "'" and position + 1 < len(text):
            word += text[position : position + 2]
            position += 2
            continue
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif char in _BLANK:
            if word:
                words.append(word)
            word = ""
            position += 1
            continue
        word += char
        position += 1
    return [*words, word] if word else words


def pairs(instruction: str, text: str) -> list[tuple[str, str]]:
    """The arguments of ``ENV`` and ``LABEL``: ``name=value ...``, or the old form ``name the rest of the line``."""
    if not text:
        raise InvalidInstruction(f"{instruction} requires at least one argument")
    words = split(text)
    if "=" not in words[0]:
        name, *rest = text.split(None, 1)
        if not rest:
            raise InvalidInstruction(f"{instruction} must have two arguments")
        return [(name, rest[0])]
    found = []
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise InvalidInstruction(f'Syntax error - can\'t find = in "{word}". Must be of the form: name=value')
        if not name:
            raise InvalidInstruction(f"{instruction} names can not be blank")
        found.append((name, value))
    return found


def expand(text: str, variables: Mapping[str, str]) -> str:
    """``text`` without its quotes and escapes, variables replaced.

    Raises :class:`InvalidInstruction` for an open quote or a malformed ``${...}``.
    """
    return _Expansion(text, variables).run()


class _Expansion:
    def __init__(self, text: str, variables: Mapping[str, str]) -> None:
        self._text = text
        self._variables = variables
        self._position = 0

    def run(self) -> str:
        return self._until("")

    def _fail(self, why: str) -> InvalidInstruction:
        quoted = self._text.replace("\\", "\\\\").replace('"', '\\"')
        return InvalidInstruction(f'failed to process "{quoted}": {why}')

    def _next(self) -> str:
        char = self._text[self._position : self._position + 1]
        self._position += 1
        return char

    def _until(self, end: str) -> str:
        out: list[str] = []
        while char := self._next():
            if char == end:
                return "".join(out)
            if char == "'":
                out.append(self._single_quoted())
            elif char == '"':
                out.append(self._double_quoted())
            elif char == "$":
                out.append(self._variable())
            elif char == "\\":
                out.append(self._next())
            else:
                out.append(char)
        if end:
            raise self._fail("syntax error: missing '}'")
        return "".join(out)

    def _single_quoted(self) -> str:
        end = self._text.find("'", self._position)
        if end < 0:
            raise self._fail("unexpected end of statement while looking for matching single-quote")
        out = self._text[self._position : end]
        self._position = end + 1
        return out

    def _double_quoted(self) -> str:
        out: list[str] = []
        while char := self._next():
            if char == '"':
                return "".join(out)
            if char == "$":
                out.append(self._variable())
            elif char == "\\":
                following = self._next()
                out.append(following if following in '"$\\' else "\\" + following)
            else:
                out.append(char)
        raise self._fail("unexpected end of statement while looking for matching double-quote")

    def _name(self) -> str:
        start = self._position
        while self._position < len(self._text):
            char = self._text[self._position]
            if not (char.isascii() and (char.isalnum() or char == "_")):
                break
            self._position += 1
        return self._text[start : self._position]

    def _variable(self) -> str:
        if self._text[self._position : self._position + 1] != "{":
            name = self._name()
            return self._variables.get(name, "") if name else "$"
        self._position += 1
        name = self._name()
        if not name:
            raise self._fail("syntax error: " + ("bad substitution" if self._next() else "missing '}'"))
        return self._braced(name)

    def _braced(self, name: str) -> str:
        value = self._variables.get(name)
        char = self._next()
        if char == "}":
            return value or ""
        if char != ":":
            raise self._fail("missing ':' in substitution")
        modifier = self._next()
        word = self._until("}")
        if modifier == "-":
            return value or word
        if modifier == "+":
            return word if value else ""
        if modifier == "?":
            if not value:
                raise self._fail(f"{name}: {word or 'is not allowed to be empty'}")
            return value
        raise self._fail(f"unsupported modifier ({modifier}) in substitution")

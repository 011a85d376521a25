"""What is wrong in a Dockerfile, and where."""

from __future__ import annotations

from lamina.errors import InvalidArgument

_SHOWN = 160


class InvalidInstruction(InvalidArgument):
    """An instruction that Docker refuses too; the message is Docker's.

    ``at`` is the part of the line that is to blame, where one is.
    """

    def __init__(self, message: str, *, at: str = "") -> None:
        super().__init__(message)
        self.at = at


class DockerfileError(InvalidInstruction):
    """A Dockerfile that cannot be built. ``line`` and ``column`` count from 1, ``text`` is the line as written.

    The message has Docker's sentence first, then ``name:line:column`` and the line with the place marked.
    """

    def __init__(self, reason: str, *, name: str, line: int, column: int, text: str) -> None:
        place = f"{name}:{line}:{column}"
        message = f"dockerfile parse error on line {line}: {reason}\n{place}\n{_excerpt(line, column, text)}"
        super().__init__(message)
        self.reason = reason
        self.name = name
        self.line = line
        self.column = column
        self.text = text


def _excerpt(line: int, column: int, text: str) -> str:
    """The line and a mark below its ``column``; a long line is shown around it, and nothing unprintable at all."""
    first = max(0, column - _SHOWN // 2) if len(text) > _SHOWN else 0
    shown = "".join(char if char.isprintable() else " " for char in text[first : first + _SHOWN]).rstrip()
    number = f"{line:>5} | "
    return f"{number}{shown}\n{' ' * (len(number) - 2)}| {' ' * (column - 1 - first)}^"


def quoted(text: str) -> str:
    """``text`` as Go's ``%q`` prints it."""
    short = {"\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v"}
    short |= {"\\": "\\\\", '"': '\\"'}
    return '"' + "".join(short.get(char) or _printable(char) for char in text) + '"'


def _printable(char: str) -> str:
    code = ord(char)
    if char.isprintable():
        return char
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"

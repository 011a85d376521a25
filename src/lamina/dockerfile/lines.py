"""Logical lines: continuations joined, comments taken out, heredocs read."""

from __future__ import annotations

from collections.abc import Iterator

from lamina.dockerfile.blank import BLANKS
from lamina.dockerfile.directives import Directives
from lamina.dockerfile.failure import DockerfileError, InvalidInstruction
from lamina.dockerfile.instructions import Heredoc, Location
from lamina.typing import NamedTuple

#: A longer line is refused, as in Docker, before it is decoded.
LONGEST_LINE = 65535
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class _Piece(NamedTuple):
    offset: int
    line: int
    column: int


class LogicalLine(NamedTuple):
    """One instruction. ``text`` is decoded; ``location`` ends before the heredocs.

    ``empty_continuation``: an empty line was skipped inside it.
    """

    text: str
    location: Location
    comments: tuple[str, ...]
    empty_continuation: bool
    pieces: tuple[_Piece, ...]

    def place(self, token: str) -> tuple[int, int]:
        """Line and column where ``token`` stands, or where the instruction begins."""
        offset = self.text.find(token) if token else 0
        piece = max((piece for piece in self.pieces if piece.offset <= max(offset, 0)), default=self.pieces[0])
        return piece.line, piece.column + max(offset, 0) - piece.offset


class SourceLines:
    """Reads a Dockerfile's bytes. Line numbers count from 1.

    :param escape: the escape character as long as no directive says otherwise.
    """

    def __init__(self, data: bytes, name: str, escape: str = "\\") -> None:
        self._data = data.removeprefix(_BYTE_ORDER_MARK)
        self._position = 0
        self.name = name
        self.number = 0
        self.directives = Directives()
        self._default_escape = escape

    @property
    def escape(self) -> str:
        return self.directives.values.get("escape", self._default_escape)

    def __iter__(self) -> Iterator[LogicalLine]:
        comments: list[str] = []
        while (line := self._next()) is not None:
            stripped = line.lstrip(BLANKS)
            if self._is_directive(stripped):
                continue
            if stripped.startswith("#"):
                comment = stripped[1:].strip(BLANKS)
                comments = [*comments, comment] if comment else []
                continue
            content, continued = self._without_continuation(stripped.rstrip("\r\n"))
            if not content and not continued:
                continue
            yield self._joined(content, continued, tuple(comments), 1 + len(line) - len(stripped))
            comments = []

    def heredoc(self, heredoc: Heredoc, line: LogicalLine) -> Heredoc:
        """``heredoc`` with its content, which begins at the current line."""
        content: list[str] = []
        while (raw := self._next()) is not None:
            end = raw.rstrip("\r\n")
            if (end.lstrip("\t") if heredoc.chomp else end) == heredoc.name:
                return heredoc._replace(content="".join(content))
            content.append(raw)
        raise self.failure(InvalidInstruction("unterminated heredoc", at="<<"), line)

    def failure(self, error: InvalidInstruction, line: LogicalLine) -> DockerfileError:
        """``error`` with its place in ``line``."""
        number, column = line.place(error.at)
        return self._failure_at(str(error), number, column)

    def failure_here(self, reason: str, at: str = "") -> DockerfileError:
        """``reason`` with the line that was read last."""
        number = max(self.number, 1)
        text = self._text_of(number)
        return self._failure_at(reason, number, max(text.find(at), 0) + 1)

    def _failure_at(self, reason: str, line: int, column: int) -> DockerfileError:
        return DockerfileError(reason, name=self.name, line=line, column=column, text=self._text_of(line))

    def _text_of(self, number: int) -> str:
        """Line ``number`` as written, or its beginning."""
        start = 0
        for _ in range(number - 1):
            start = self._data.find(b"\n", start) + 1
        end = self._data.find(b"\n", start, start + LONGEST_LINE)
        return self._data[start : end if end >= 0 else start + LONGEST_LINE].decode("utf-8", "replace").rstrip("\r")

    def _next(self) -> str | None:
        """The next line with its end, or ``None`` after the last."""
        start = self._position
        if start >= len(self._data):
            return None
        self.number += 1
        end = self._data.find(b"\n", start, start + LONGEST_LINE + 1)
        if end < 0 and len(self._data) - start > LONGEST_LINE:
            raise self.failure_here(f"dockerfile line greater than max allowed size of {LONGEST_LINE}")
        self._position = end + 1 if end >= 0 else len(self._data)
        return self._data[start : self._position].decode("utf-8", "surrogateescape")

    def _is_directive(self, stripped: str) -> bool:
        try:
            return self.directives.take(stripped.rstrip("\r\n"))
        except InvalidInstruction as error:
            raise self.failure_here(str(error), error.at) from None

    def _without_continuation(self, line: str) -> tuple[str, bool]:
        """``line`` without the escape character that ends it, and whether one did. A doubled one does not."""
        body = line.rstrip(" \t")
        continued = body.endswith(self.escape) and body[-2:] != self.escape * 2
        return (body[:-1], True) if continued else (line, False)

    def _joined(self, first: str, continued: bool, comments: tuple[str, ...], column: int) -> LogicalLine:
        start = self.number
        parts = [first]
        pieces = [_Piece(0, start, column)]
        length = len(first)
        empty = False
        while continued and (raw := self._next()) is not None:
            line = raw.rstrip("\r\n")
            stripped = line.lstrip(BLANKS)
            if stripped.startswith("#"):
                continue
            if not stripped:
                empty = True
                continue
            line, continued = self._without_continuation(line)
            parts.append(line)
            pieces.append(_Piece(length, self.number, 1))
            length += len(line)
        text = "".join(parts)
        if not text.isascii():
            text = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        location = Location(self.name, start, self.number, column)
        return LogicalLine(text, location, comments, empty, tuple(pieces))

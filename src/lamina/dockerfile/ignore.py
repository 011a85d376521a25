"""``.dockerignore``: which files of a context are left out (Docker's rules, ``moby/patternmatcher``).

A pattern matches a path from its beginning, and everything below a directory that it matches; the last pattern that
matches decides, ``!`` takes back. ``*`` and ``?`` stop at ``/``, ``**`` does not. A match takes time linear in the
path for a given pattern: nothing here backtracks.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Sequence

from lamina.dockerfile.blank import BLANKS
from lamina.errors import InvalidArgument
from lamina.oci import pattern as path_match
from lamina.typing import NamedTuple, TypeAlias

_REMEMBERED = 4096
#: For each pattern, whether it matched a directory; see :meth:`PatternMatcher.descend`.
State: TypeAlias = tuple[bool, ...]


def read_ignore(text: bytes) -> list[str]:
    """The patterns of a ``.dockerignore`` file, cleaned as Docker cleans them."""
    patterns: list[str] = []
    for line in text.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape").split("\n"):
        pattern = line.strip(BLANKS)
        if line.startswith("#") or not pattern:
            continue
        exception = pattern.startswith("!")
        pattern = pattern[exception:].strip(BLANKS)
        if pattern:
            pattern = _clean(pattern)
            pattern = pattern[1:] if len(pattern) > 1 and pattern.startswith("/") else pattern
        patterns.append("!" * exception + pattern)
    return patterns


class PatternMatcher:
    """Matches paths, relative and with slashes, against patterns.

    Raises :class:`~lamina.errors.InvalidArgument` for a malformed one.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        self._patterns = [_Pattern(text) for text in map(_trimmed, patterns) if text]
        self._states: dict[str, State] = {}

    @property
    def has_exceptions(self) -> bool:
        """Whether a pattern begins with ``!``."""
        return any(pattern.exception for pattern in self._patterns)

    @property
    def excludes_everything(self) -> bool:
        """Whether a pattern names all there is in the root."""
        return any(not p.exception and p.text in ("*", "**", "**/*") for p in self._patterns)

    def matches(self, path: str) -> bool:
        """Whether ``path`` is left out, on its own account or a parent directory's. The root never is."""
        path = _clean(path)
        return path != "." and self.descend(path, self._state(path.rpartition("/")[0]))[0]

    def descend(self, path: str, parent: State = ()) -> tuple[bool, State]:
        """As :meth:`matches`, for a walk; the second result is the state for what is in ``path``.

        :param parent: the state of the directory that ``path`` is in, ``()`` at the top.
        """
        matched = False
        state: list[bool] = []
        for number, pattern in enumerate(self._patterns):
            match = bool(parent and parent[number]) or pattern.matches(path)
            state.append(match)
            if match:
                matched = not pattern.exception
        return matched, tuple(state)

    def _state(self, directory: str) -> State:
        """The state for what is in ``directory``; those of the directories seen last are remembered."""
        if directory not in self._states:
            if len(self._states) > _REMEMBERED:
                self._states.clear()
            state: State = ()
            parts = directory.split("/") if directory else []
            for count in range(1, len(parts) + 1):
                inner = "/".join(parts[:count])
                state = self._states.get(inner) or self.descend(inner, state)[1]
            self._states[directory] = state
        return self._states[directory]

    def may_skip(self, directory: str) -> bool:
        """Whether nothing below ``directory``, which is left out, can be taken back by an exception."""
        below = directory + "/"
        return not any(
            pattern.exception and (not pattern.is_path or f"{pattern.text}/".startswith(below))
            for pattern in self._patterns
        )

    def is_entered(self, directory: str) -> bool:
        """Whether Docker's classic client looks into ``directory``, which is left out: an exception begins with it."""
        below = directory + "/"
        return any(pattern.exception and f"{pattern.text}/".startswith(below) for pattern in self._patterns)


def _trimmed(text: str) -> str:
    text = text.strip(BLANKS)
    return _clean(text) if text else ""


def _clean(path: str) -> str:
    """Go's ``filepath.Clean``."""
    cleaned = posixpath.normpath(path)
    return cleaned[1:] if cleaned.startswith("//") else cleaned


class _Token(NamedTuple):
    """``kind``: ``**``, ``*``, ``?``, ``[`` for a set, whose expression is ``text``, or nothing for a character."""

    kind: str
    text: str = ""


class _Pattern:
    """One pattern. ``is_path``: it has no wildcard, or only ``**`` at its end."""

    def __init__(self, text: str) -> None:
        self.exception = text.startswith("!")
        if text == "!":
            raise InvalidArgument('illegal exclusion pattern: "!"')
        self.text = text[self.exception :]
        path_match.compiled(self.text)
        self._tokens = _tokens(self.text)
        wild = [number for number, token in enumerate(self._tokens) if token.kind]
        escaped = "\\" in self.text
        self._exact = not wild and not escaped
        self._beginning = not escaped and wild == [len(self._tokens) - 1] and self._tokens[-1].kind == "**"
        self._ending = not escaped and wild == [0] and self._tokens[0].kind == "**"
        self.is_path = self._exact or (self._beginning and not self._ending)
        literals = "".join("\0" if token.kind else token.text for token in self._tokens)
        self._needed = max(literals.split("\0"), key=len)
        self._expression = None if self._is_costly() else re.compile(_expression(self._tokens), re.DOTALL)

    def _is_costly(self) -> bool:
        """Whether a backtracking regular expression could take more than linear time."""
        kinds = [token.kind for token in self._tokens]
        return kinds.count("**") > 1 or kinds.count("*") > 1

    def matches(self, path: str) -> bool:
        if self._exact:
            return path == self.text
        if self._ending:
            return path.endswith(self.text[2:]) or (self.text[2:3] == "/" and path == self.text[3:])
        if self._beginning:
            return path.startswith(self.text[:-2])
        if self._expression is not None:
            return self._expression.match(path) is not None
        return self._needed in path and _reaches_end(path, self._tokens)


def _tokens(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    position = 0
    while position < len(text):
        if text.startswith("**", position):
            position += 3 if text.startswith("**/", position) else 2
            tokens.append(_Token("**"))
            continue
        char = text[position]
        position += 1
        if char in "*?":
            tokens.append(_Token(char))
        elif char == "[":
            end = _end_of_set(text, position)
            tokens.append(_Token("[", f"[{_set(text[position:end])}]"))
            position = end + 1
        else:
            if char == "\\":
                char = text[position]
                position += 1
            tokens.append(_Token("", char))
    return tokens


def _end_of_set(text: str, position: int) -> int:
    """The position of the ``]`` that ends the set whose content begins at ``position``; there is one."""
    while text[position] != "]":
        position += 2 if text[position] == "\\" else 1
    return position


def _set(content: str) -> str:
    """A set's content for a regular expression."""
    negation = "^" if content.startswith("^") else ""
    return negation + re.sub(r"[\[\^&|~]", r"\\\g<0>", content[len(negation) :])


def _expression(tokens: Sequence[_Token]) -> str:
    """An expression for ``re.match``."""
    parts = {"*": "[^/]*", "?": "[^/]", "**": "(?:.*/)?"}
    out = [parts.get(token.kind) or token.text if token.kind else re.escape(token.text) for token in tokens]
    if tokens and tokens[-1].kind == "**":
        out[-1] = ".*"
    return "".join(out) + r"\Z"


def _reaches_end(path: str, tokens: Sequence[_Token]) -> bool:
    """Whether ``tokens`` match the whole of ``path``. Bit N of a mask stands for the position before character N."""
    size = len(path)
    masks: dict[_Token, int] = {}

    def mask(token: _Token) -> int:
        if token not in masks:
            wanted = re.compile(token.text if token.kind else re.escape(token.text), re.DOTALL)
            masks[token] = sum(1 << match.start() for match in wanted.finditer(path))
        return masks[token]

    slashes = mask(_Token("", "/"))
    inside = ((1 << size) - 1) ^ slashes
    positions = 1
    for number, token in enumerate(tokens):
        if not positions:
            return False
        if token.kind == "**":
            if number == len(tokens) - 1:
                return True
            first = positions & -positions
            positions |= (slashes << 1) & -(first << 1)
        elif token.kind == "*":
            # The carry of the addition runs from each position to the next slash.
            positions |= ((positions & inside) + inside) ^ inside
        elif token.kind == "?":
            positions = (positions & inside) << 1
        else:
            positions = (positions & mask(token)) << 1
    return bool(positions >> size & 1)

"""Parser directives: ``# syntax=...``, ``# escape=...``, ``# check=...`` before everything else."""

from __future__ import annotations

import re

from lamina.dockerfile.blank import BLANKS
from lamina.dockerfile.failure import InvalidInstruction

_KNOWN = ("syntax", "escape", "check")
_DIRECTIVE = re.compile(r"([a-zA-Z][a-zA-Z0-9]*)[\t\n\f\r ]*=[\t\n\f\r ]*(.+?)[\t\n\f\r ]*\Z")


class Directives:
    """The directives of a file, line by line. ``values`` has those found so far."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        self._done = False

    @property
    def escape(self) -> str:
        return self.values.get("escape", "\\")

    def take(self, line: str) -> bool:
        """Whether ``line`` is a directive; the first line that is none ends them.

        Raises :class:`InvalidInstruction` for a second one of a name and for an unusable escape character.
        """
        if self._done:
            return False
        found = parse_directive(line[1:]) if line.startswith("#") else None
        if found is None:
            self._done = True
            return False
        name, value = found
        if name in self.values:
            raise InvalidInstruction(f"only one {name} parser directive can be used")
        if name == "escape" and value not in ("\\", "`"):
            raise InvalidInstruction(f"invalid escape token '{value}' does not match ` or \\", at=value)
        self.values[name] = value
        return True


def parse_directive(comment: str) -> tuple[str, str] | None:
    """Name, in lower case, and value of ``name=value``, where ``comment`` is a directive that Docker knows."""
    match = _DIRECTIVE.match(comment.lstrip(BLANKS))
    if match is None or match.group(1).lower() not in _KNOWN:
        return None
    return match.group(1).lower(), match.group(2)

"""Flags of instructions: ``--chown=...``, ``--link``, ``--mount=...`` several times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lamina.dockerfile.failure import InvalidInstruction
from lamina.dockerfile.suggestion import did_you_mean
from lamina.typing import Literal, TypeAlias

Kind: TypeAlias = Literal["bool", "string", "strings"]


class Flags:
    """The flags that were given, checked against ``kinds``: what each flag's name takes.

    Raises :class:`InvalidInstruction`.
    """

    def __init__(self, given: Sequence[str], kinds: Mapping[str, Kind]) -> None:
        self._values: dict[str, list[str]] = {}
        for flag in given:
            word, equals, value = flag.partition("=")
            name = word[2:]
            kind = kinds.get(name)
            if kind is None:
                raise InvalidInstruction(f"unknown flag: {word}{did_you_mean(name, kinds)}", at=word)
            if name in self._values and kind != "strings":
                raise InvalidInstruction(f"duplicate flag specified: {word}", at=word)
            if (not equals and kind != "bool") or (kind == "bool" and equals and not value):
                raise InvalidInstruction(f"missing a value on flag: {word}", at=word)
            if kind == "bool":
                value = _boolean(word, value)
            self._values.setdefault(name, []).append(value)

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def text(self, name: str, default: str = "") -> str:
        """The value of a ``string`` flag."""
        return self._values.get(name, [default])[0]

    def texts(self, name: str) -> tuple[str, ...]:
        """The values of a ``strings`` flag."""
        return tuple(self._values.get(name, ()))

    def truth(self, name: str) -> bool:
        """Whether a ``bool`` flag is given and true."""
        return self.text(name) == "true"


def _boolean(word: str, value: str) -> str:
    value = value.lower() or "true"
    if value not in ("true", "false"):
        raise InvalidInstruction(f"expecting boolean value for flag {word}, not: {value}", at=word)
    return value

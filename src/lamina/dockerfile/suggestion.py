"""``did you mean ...?``: the nearest name to a misspelt one."""

from __future__ import annotations

from collections.abc import Iterable

_NEAR = 3
_LONGEST = 64


def nearest(word: str, names: Iterable[str]) -> str:
    """The name that ``word`` is fewer than three edits away from, or nothing. Letter case counts.

    Among several at the same distance one with the same letters is preferred.
    """
    names = sorted(names)
    if len(word) > _LONGEST or word in names:
        return ""
    ranked = [(_distance(word, name), sorted(word) != sorted(name), name) for name in names]
    distance, _, name = min(ranked, default=(_NEAR, True, ""))
    return name if distance < _NEAR else ""


def did_you_mean(word: str, names: Iterable[str]) -> str:
    """`` (did you mean NAME?)``, or nothing where no name is near."""
    name = nearest(word, names)
    return f" (did you mean {name}?)" if name else ""


def _distance(one: str, other: str) -> int:
    """Levenshtein's: insertions, deletions and substitutions."""
    if abs(len(one) - len(other)) >= _NEAR:
        return _NEAR
    row = list(range(len(other) + 1))
    for number, char in enumerate(one, 1):
        previous, row[0] = row[0], number
        for index, expected in enumerate(other, 1):
            previous, row[index] = row[index], min(row[index] + 1, row[index - 1] + 1, previous + (char != expected))
    return row[-1]

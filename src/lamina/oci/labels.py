"""The filters ``label`` and ``label!``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def match(labels: Mapping[str, str], filters: Mapping[str, Sequence[str]]) -> bool:
    """Whether ``labels`` has all of ``label`` and none of ``label!``: ``key`` or ``key=value``."""
    return all(_has(labels, text) for text in filters.get("label", ())) and not any(
        _has(labels, text) for text in filters.get("label!", ())
    )


def _has(labels: Mapping[str, str], text: str) -> bool:
    name, equals, value = text.partition("=")
    return name in labels and (not equals or labels[name] == value)

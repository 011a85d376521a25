"""Which containers ``prune`` takes, by ``label``, ``label!`` and ``until``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from lamina.container.record import Container
from lamina.oci import timestamp
from lamina.view.containerlist import InvalidFilter


def prunable(containers: Sequence[Container], filters: Mapping[str, Sequence[str]]) -> Iterator[Container]:
    """Those that do not run and that the filters let through."""
    for name in filters:
        if name not in ("label", "label!", "until"):
            raise InvalidFilter(name)
    limits = [timestamp.moment(text) for text in filters.get("until", ())]
    for container in containers:
        if container.running:
            continue
        if any(timestamp.nanoseconds(container.created) > limit for limit in limits):
            continue
        labels = container.config.get("Labels") or {}
        if labels_match(labels, filters):
            yield container


def labels_match(labels: Mapping[str, str], filters: Mapping[str, Sequence[str]]) -> bool:
    """Whether all of ``label`` and none of ``label!`` are there."""
    return all(_has(labels, text) for text in filters.get("label", ())) and not any(
        _has(labels, text) for text in filters.get("label!", ())
    )


def _has(labels: Mapping[str, str], text: str) -> bool:
    name, equals, value = text.partition("=")
    return name in labels and (not equals or labels[name] == value)

"""Flags of ``run`` and ``create`` by what they are about.

Each module has ``FLAGS``, ``config`` (members of Docker's ``Config``) and ``host_config`` (of its ``HostConfig``), both
made from the parsed options; :mod:`lamina.cli.container.creating` joins them.
"""

from __future__ import annotations

from collections.abc import Callable

from lamina.cli.command import CommandError


def parsed(name: str) -> Callable[[str], object]:
    """The parser ``name`` of :mod:`lamina.cli.container.createvalues`, imported when a value is there to parse."""

    def parse(value: str) -> object:
        from lamina.cli.container import createvalues

        parser: Callable[[str], object] = getattr(createvalues, name)
        return parser(value)

    return parse


def mode(name: str, value: str, what: str, modes: tuple[str, ...], *, joinable: bool) -> str:
    """A namespace's mode; ``container:<name>`` where it is ``joinable``. Raises :class:`CommandError`."""
    kind, _, other = value.partition(":")
    if value in modes or (joinable and kind == "container" and other):
        return value
    raise CommandError(f"--{name}: invalid {what} mode")

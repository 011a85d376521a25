"""Flags that take a moment: ``--since`` and ``--until``."""

from __future__ import annotations

from lamina.cli.command import CommandError, Options
from lamina.errors import InvalidArgument
from lamina.oci import timestamp


def moment(options: Options, flag: str) -> int | None:
    """The flag's moment in nanoseconds, ``None`` when it was not given, or is 0. Raises :class:`CommandError`."""
    value = options.text(flag)
    try:
        return timestamp.moment(value) or None if value else None
    except InvalidArgument as error:
        raise CommandError(f'invalid value for "{flag}": {error}') from error

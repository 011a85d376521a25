"""Verbs that do one thing to each of several containers and go on after a failure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lamina.cli.command import CommandError, Context
from lamina.errors import LaminaError


def for_each(context: Context, names: Sequence[str], action: Callable[[str], str | None]) -> int:
    """Call ``action`` with each name and print its answer; the failures come last, and make the exit code 1."""
    failures = []
    for name in names:
        try:
            answer = action(name)
        except LaminaError as error:
            failures.append(f"Error response from daemon: {error}")
        except CommandError as error:
            failures.append(error.text)
        else:
            if answer is not None:
                context.print(answer)
                context.stdout.flush()
    if failures:
        raise CommandError("\n".join(failures))
    return 0

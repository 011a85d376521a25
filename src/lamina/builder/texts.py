"""``created_by`` texts of history, as Docker's classic builder writes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lamina.builder import gotext
from lamina.typing import Any

DEFAULT_SHELL = ("/bin/sh", "-c")


def shell_of(config: Mapping[str, Any]) -> list[str]:
    """The words in front of a command in shell form."""
    return list(config.get("Shell") or DEFAULT_SHELL)


def comment_command(config: Mapping[str, Any], comment: str, *, single: bool = False) -> list[str]:
    """``Cmd`` of the step's own configuration: the comment behind ``#(nop)``.

    :param single: the comment and the mark are one word, as for ``COPY``, ``ADD`` and ``WORKDIR``.
    """
    tail = [f"#(nop) {comment}"] if single else ["#(nop) ", comment]
    return [*shell_of(config), *tail]


def run_command(words: Sequence[str], arguments: Sequence[str]) -> list[str]:
    """``Cmd`` of a ``RUN`` step: build arguments in front, counted."""
    return [f"|{len(arguments)}", *arguments, *words] if arguments else list(words)


def created_by(command: Sequence[str]) -> str:
    return " ".join(command)


def healthcheck(check: Mapping[str, Any]) -> str:
    """A health check as Go prints the structure."""
    times = [gotext.quoted(gotext.duration(check.get(name) or 0)) for name in ("Interval", "Timeout", "StartPeriod")]
    retries = gotext.quoted_number(check.get("Retries") or 0)
    return f"&{{{gotext.quoted_list(check.get('Test'))} {' '.join(times)} {retries}}}"


def copied(name: str, chown: str, digest: str, destination: str) -> str:
    owner = f"--chown={chown}" if chown else ""
    return f"{name} {owner}{digest} in {destination} "

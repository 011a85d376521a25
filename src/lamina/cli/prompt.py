"""Questions to the person at the terminal."""

from __future__ import annotations

from lamina.cli.command import CommandError, Context


def confirmed(context: Context, warning: str) -> bool:
    """Docker's ``Are you sure``: only ``y`` is yes; end of input is no."""
    context.stdout.write(f"{warning}\nAre you sure you want to continue? [y/N] ")
    context.stdout.flush()
    return context.stdin.readline().strip().lower() == "y"


def ask(context: Context, question: str, *, secret: bool = False) -> str:
    """One line from the terminal; not echoed when ``secret``."""
    if not secret:
        return _ask(context, question)
    import termios

    descriptor = context.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    silent = termios.tcgetattr(descriptor)
    silent[3] &= ~termios.ECHO
    # Before the question: what is typed as soon as it appears must be neither shown nor lost.
    termios.tcsetattr(descriptor, termios.TCSADRAIN, silent)
    try:
        return _ask(context, question)
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
        context.print()


def _ask(context: Context, question: str) -> str:
    context.stdout.write(question)
    context.stdout.flush()
    return context.stdin.readline().rstrip("\r\n")


def need_terminal(context: Context) -> None:
    """Raises :class:`CommandError` when standard input is no terminal."""
    if not context.stdin.isatty():
        raise CommandError("Error: Cannot perform an interactive login from a non TTY device")

"""The foreground of ``run`` and ``start -a``: the terminal, signals and streams of the person who waits."""

from __future__ import annotations

import os
from collections.abc import Iterator

from lamina import signal
from lamina.cli.command import CommandError, Context
from lamina.contextlib import ExitStack, contextmanager
from lamina.errors import LaminaError
from lamina.typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from lamina.container.attachment import Attachment
    from lamina.container.record import Container

#: Signals that are about this process, or that can't be caught.
_NOT_PROXIED = frozenset(
    (signal.SIGCHLD, signal.SIGPIPE, signal.SIGURG, signal.SIGWINCH, signal.SIGKILL, signal.SIGSTOP)
)


def check_terminal(context: Context, *, stdin: bool, terminal: bool) -> None:
    """Docker refuses to attach a pipe to a terminal."""
    if stdin and terminal and not context.stdin.isatty():
        raise CommandError("the input device is not a TTY")


class Manner(NamedTuple):
    """How a person is attached.

    :ivar proxy: whether signals to this process go to the container's.
    :ivar keys: ``--detach-keys``; ``""`` for the usual ones.
    :ivar redraw: whether a program that draws its screen is to do so again.
    :ivar silent: whether leaving by the keys is a success about which nothing is said.
    """

    proxy: bool = True
    keys: str = ""
    redraw: bool = False
    silent: bool = False


def check_keys(text: str) -> None:
    """Raises :class:`CommandError` for what is no sequence of keys."""
    from lamina.container.detaching import InvalidKeys, parse_keys

    try:
        parse_keys(text)
    except InvalidKeys as error:
        raise CommandError(f"Error response from daemon: {error}") from None


def relay(context: Context, container: Container, attachment: Attachment, manner: Manner) -> int:
    """Exchange bytes until the container has ended; its exit code."""
    from lamina.container.detaching import Detached, DetachKeys, parse_keys

    config = container.config
    context.stdout.flush()
    stdin = context.stdin.fileno() if config["AttachStdin"] else None
    stdout = context.stdout.fileno() if config["AttachStdout"] else None
    stderr = context.stderr.fileno() if config["AttachStderr"] else None
    keys = DetachKeys(parse_keys(manner.keys)) if config["Tty"] and stdin is not None else None
    try:
        with ExitStack() as stack:
            if manner.proxy:
                stack.enter_context(_signals_proxied(context, container.id))
            if manner.redraw and config["Tty"] and context.stdout.isatty():
                columns, rows = os.get_terminal_size(context.stdout.fileno())
                attachment.resize(rows + 1, columns + 1)  # a change of size is what programs redraw for
            stack.enter_context(terminal_followed(context, attachment, stdin=stdin, terminal=config["Tty"]))
            return attachment.relay(stdin, stdout, stderr, keys)
    except Detached:
        attachment.close()
        if manner.silent:
            return 0
        raise CommandError("read escape sequence") from None


@contextmanager
def _signals_proxied(context: Context, container_id: str) -> Iterator[None]:
    service = context.engine().container_service

    def forward(number: int, frame: object) -> None:
        try:
            service.signal(container_id, number)
        except LaminaError:
            return  # it has ended meanwhile; the relay tells

    before = {}
    for number in signal.valid_signals():
        if number not in _NOT_PROXIED and signal.getsignal(number) is not signal.SIG_IGN:
            try:
                before[number] = signal.signal(number, forward)
            except OSError:  # the C library keeps a few for itself
                continue
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)


class Resizable(Protocol):
    """What has a terminal in a container."""

    def resize(self, rows: int, columns: int) -> None: ...


@contextmanager
def terminal_followed(context: Context, target: Resizable, *, stdin: int | None, terminal: bool) -> Iterator[None]:
    """Where the container has a terminal, this one's keys and size are its own."""
    with ExitStack() as stack:
        if terminal and context.stdout.isatty():
            stack.enter_context(_size_followed(target, context.stdout.fileno()))
        if terminal and stdin is not None:
            stack.enter_context(_raw(stdin))
        yield


@contextmanager
def _size_followed(attachment: Resizable, terminal: int) -> Iterator[None]:
    """Give the container's terminal this one's size, now and whenever it changes."""

    def resize(number: int = 0, frame: object = None) -> None:
        columns, rows = os.get_terminal_size(terminal)
        attachment.resize(rows, columns)

    resize()
    before = signal.signal(signal.SIGWINCH, resize)
    try:
        yield
    finally:
        signal.signal(signal.SIGWINCH, before)


@contextmanager
def _raw(descriptor: int) -> Iterator[None]:
    """The terminal passes every key on; what it was is restored."""
    import termios
    import tty

    before = termios.tcgetattr(descriptor)
    tty.setraw(descriptor, termios.TCSANOW)  # what was typed ahead is not lost
    try:
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)

"""A build that is told to end: by ``kill``, or by a terminal that goes away."""

from __future__ import annotations

import os
from collections.abc import Iterator

from lamina import signal
from lamina.contextlib import contextmanager

_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


@contextmanager
def stopping() -> Iterator[None]:
    """At ``SIGTERM`` and ``SIGHUP`` the block is interrupted as by Ctrl-C; then they do what they do.

    So nothing is left for the next command to undo. Further ones change nothing, and what is ignored stays so.
    """
    told: list[int] = []

    def stop(number: int, frame: object) -> None:
        if not told:
            told.append(number)
            raise KeyboardInterrupt

    changed = [number for number in _SIGNALS if signal.getsignal(number) == signal.SIG_DFL]
    for number in changed:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in changed:
            signal.signal(number, signal.SIG_DFL)
        if told:
            os.kill(os.getpid(), told[0])

"""What a build tells while it goes on."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

START, OUTPUT, CACHED, DONE, FAILED, WARNING = "start", "output", "cached", "done", "failed", "warning"


class StepEvent(NamedTuple):
    """One thing that happened.

    :ivar kind: one of the words above.
    :ivar number: of the step, in order of their beginnings; 0 for what is about the whole build.
    :ivar name: what the step does, as a list of steps shows it.
    :ivar data: bytes that a command wrote, or a message.
    :ivar seconds: how long it took.
    """

    kind: str
    number: int
    name: str = ""
    data: bytes = b""
    seconds: float = 0.0


#: What a build calls for each event, from any thread.
StepReport = Callable[[StepEvent], None]


def ignore(event: StepEvent) -> None:
    """The report of a caller who does not care."""

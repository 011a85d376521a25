"""Progress of long operations, in the shape of the Engine API's JSON messages."""

from __future__ import annotations

from collections.abc import Callable

from lamina.typing import Any, NamedTuple


class Event(NamedTuple):
    """One step forward.

    :ivar status: Docker's text: ``Downloading``, ``Pull complete``, ``Pushed``, ``Layer already exists``.
    :ivar id: what it is about: the first 12 digits of a layer's digest, a tag, or ``""`` for the whole operation.
    :ivar current: bytes done; 0 when the step has no size.
    :ivar total: bytes in all; 0 when unknown.
    :ivar aux: the machine-readable result that some events carry (``{"Tag": ..., "Digest": ..., "Size": ...}``).
    """

    status: str
    id: str = ""
    current: int = 0
    total: int = 0
    aux: dict[str, Any] | None = None


#: What an operation calls for each event, from any thread.
Report = Callable[[Event], None]


def ignore(event: Event) -> None:
    """The report of a caller who does not care."""

"""What ``COPY --from`` selects in layers: found out once, since layers don't change.

So a step that is cached needs no files of the stage that it copies from, and that stage's layers need not be here.
"""

from __future__ import annotations

from lamina.builder.cache import Pick
from lamina.builder.lookup import Lookup
from lamina.builder.selection import Selection, of_copy
from lamina.builder.sources import Place
from lamina.builder.stage import digest_of
from lamina.contextlib import ExitStack
from lamina.dockerfile import instructions as kinds


def of_place(lookup: Lookup, place: Place, instruction: kinds.Copy, stack: ExitStack) -> Selection:
    """The sources of ``instruction`` in ``place``; ``stack`` releases what they need."""

    def look() -> Selection:
        return of_copy(stack.enter_context(place.opened()), instruction)

    if not place.identity:
        return look()
    key = digest_of("pick", place.identity, instruction[1:])
    known = lookup.pick(key)
    if known is not None:
        return Selection(known.digests, known.facts, lambda: look().pieces())
    selection = look()
    lookup.put_pick(key, Pick(selection.digests, selection.facts))
    return selection

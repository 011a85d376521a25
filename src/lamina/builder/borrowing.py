"""``--cache-from``: steps from an image that the user trusts.

The image must have been built from the same base by instructions with the same history texts, which hold the digests of
what was copied. Its configuration is not believed: that follows from the Dockerfile.
"""

from __future__ import annotations

from collections.abc import Sequence

from lamina.builder.cache import Step
from lamina.builder.stage import StageState
from lamina.digest import chain_id
from lamina.image.contract import Image


def borrow(images: Sequence[Image], state: StageState, key: str, created_by: str) -> Step | None:
    """The step that comes after ``state`` in one of ``images``, if its text is ``created_by``."""
    done = len(state.history)
    for image in images:
        history = image.config.history
        if len(history) <= done or history[done].created_by != created_by:
            continue
        if any(
            ours.get("created_by", "") != theirs.created_by or bool(ours.get("empty_layer")) != theirs.empty_layer
            for ours, theirs in zip(state.history, history, strict=False)
        ):
            continue
        count = len(state.diff_ids)
        if image.config.diff_ids[:count] != state.diff_ids:
            continue
        entry = dict(image.config.document["history"][done])
        if history[done].empty_layer:
            return Step(key, state.chain, None, entry)
        if len(image.config.diff_ids) > count:
            diff_id = image.config.diff_ids[count]
            return Step(key, chain_id(state.chain, diff_id), diff_id, entry)
    return None

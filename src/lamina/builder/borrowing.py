"""Steps out of an image that the user trusts.

An image that was built with ``--cache-to type=inline`` names the key of every step, and that decides. Of any other
image the history does: it must have been built from the same base by instructions with the same history texts, which
hold the digests of what was copied. The configuration is not believed: that follows from the Dockerfile.
"""

from __future__ import annotations

from lamina.builder.cache import Step
from lamina.builder.cachedocument import INLINE
from lamina.builder.stage import StageState
from lamina.digest import chain_id
from lamina.oci.image import ImageConfig


def borrow(config: ImageConfig, state: StageState, key: str, created_by: str) -> Step | None:
    """The step that comes after ``state`` in an image, if it is the step ``key`` whose text is ``created_by``."""
    done = len(state.history)
    history = config.history
    if len(history) <= done or history[done].created_by != created_by:
        return None
    if any(
        ours.get("created_by", "") != theirs.created_by or bool(ours.get("empty_layer")) != theirs.empty_layer
        for ours, theirs in zip(state.history, history, strict=False)
    ):
        return None
    count = len(state.diff_ids)
    if config.diff_ids[:count] != state.diff_ids:
        return None
    keys = _keys(config)
    if keys is not None and (len(keys) <= done or keys[done] != key):
        return None
    entry = dict(config.document["history"][done])
    if history[done].empty_layer:
        return Step(key, state.chain, None, entry)
    if len(config.diff_ids) > count:
        diff_id = config.diff_ids[count]
        return Step(key, chain_id(state.chain, diff_id), diff_id, entry)
    return None


def _keys(config: ImageConfig) -> list[object] | None:
    """The steps' keys by entry of the history; ``None`` for an image that has none."""
    inline = config.document.get(INLINE)
    keys = inline.get("keys") if isinstance(inline, dict) else None
    return keys if isinstance(keys, list) else None

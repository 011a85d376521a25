"""``--squash``: one layer instead of all that a build added to its base."""

from __future__ import annotations

from lamina.builder.session import Session
from lamina.builder.stage import StageState
from lamina.layer.difference import snapshot_tar


def squash(session: Session, stage: StageState) -> None:
    """Put everything above the base image into one layer; what was deleted again leaves no trace.

    The history keeps its entries, as entries without a layer, and gets one more, as Docker writes it.
    """
    base = stage.base
    below = session.base(base) if base is not None else None
    kept = len(base.config.diff_ids) if base is not None else 0
    if len(stage.diff_ids) <= kept:
        return
    staged = session.stage_layer(below)
    try:
        with session.view(stage.layer) as whole, session.view(below) as old:
            tar = snapshot_tar(whole, old if below is not None else None, session.root.owners)
            result = staged.fill(tar)
    except BaseException:
        session.drop(staged)
        raise
    steps = base.config.document.get("history") or () if base is not None else ()
    for entry in stage.history[len(steps) :]:
        entry["empty_layer"] = True
    target = base.id if base is not None else "scratch"
    stage.layer = staged
    stage.diff_ids = [*stage.diff_ids[:kept], result.diff_id]
    stage.add_history({"created": session.now(), "comment": f"merge {stage.key} to {target}"}, None)

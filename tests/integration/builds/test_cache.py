"""What of a step that was done before is taken for a build that has others below it."""

from __future__ import annotations

from pathlib import Path

import pytest

from lamina.builder.pruning import prune
from support.building import LocalBuilder, build, refused
from support.command import Lamina

pytestmark = [pytest.mark.root, pytest.mark.needs("crun")]

_DOCKERFILE = """
FROM busybox
RUN cat /proc/sys/kernel/random/uuid > /one
RUN --mount=type=secret,id=fail cp /one /other && test ! -e /run/secrets/fail
ENV A=b
"""


def test_steps_after_one_that_was_done_again_are_done_again(built: Lamina, context: Path) -> None:
    (context / "fail").touch()
    secret = ("--secret", f"id=fail,src={context}/fail")
    build(built, context, _DOCKERFILE, "-t", "first")
    refused(built, context, _DOCKERFILE, "--no-cache", *secret)
    said = build(built, context, _DOCKERFILE, "-t", "made")
    assert said.count("CACHED") == 1
    one, other = built("run", "--rm", "--network", "none", "made", "cat", "/one", "/other").split()
    assert one == other
    assert build(built, context, _DOCKERFILE).count("CACHED") == 2


def test_what_a_build_uses_is_pruned_once_it_has_ended(builder: LocalBuilder) -> None:
    before = builder.layers()
    result = builder.build("FROM busybox AS a\nRUN echo a > /a\nFROM busybox\nCOPY --from=a /a /b\n")
    storage = builder.storage
    stage = builder.layers() - before - {str(result.image.config.chain_id)}
    (layer,) = (one for one in storage.layers.all() if str(one.chain_id) in stage)
    with storage.layers.begin() as transaction:
        transaction.hold(layer.chain_id)
        assert len(prune(storage.root, storage.layers, storage.images, all=True).removed) == 1
    assert str(layer.chain_id) in builder.layers()
    assert len(prune(storage.root, storage.layers, storage.images, all=True).removed) == 1
    assert builder.layers() == before | {str(result.image.config.chain_id)}

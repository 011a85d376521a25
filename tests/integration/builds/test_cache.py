"""What of a step that was done before is taken for a build that has others below it."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.building import build, refused
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

"""``build --advise`` and the end of ``build --check``: what wastes space."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from support.building import build
from support.command import Lamina

pytestmark = [pytest.mark.root, pytest.mark.needs("crun")]

_WASTEFUL = """\
FROM busybox
RUN mkdir /lists && head -c 300000 /dev/urandom > /lists/one && head -c 200000 /dev/urandom > /lists/two
RUN head -c 400000 /dev/urandom > /owned && head -c 150000 /dev/urandom > /again
RUN chown 5:6 /owned && chmod 700 /bin/busybox
RUN head -c 150000 /dev/urandom > /again && echo small > /small
RUN rm -rf /lists /small
"""


def _advice(said: str) -> dict[str, str]:
    """By the words that tell what happened: size, count of files, paths."""
    found = re.findall(r"^WARNING: WastedSpace\n(\S+) in (\d+) files? (.*): (/.*)\n", said, re.MULTILINE)
    return {what: f"{size} {count} {paths}" for size, count, what, paths in found}


def test_bytes_that_a_later_line_hides_are_told_with_both_lines(built: Lamina, context: Path) -> None:
    said = build(built, context, _WASTEFUL, "--advise")
    found = _advice(said)
    assert (
        found.pop("that line 2 adds are removed by line 6, and stay in the image") == "500kB 2 /lists/one, /lists/two"
    )
    assert (
        found.pop("of line 3 are in the image a second time: line 4 changes nothing but owner, mode or time")
        == "400kB 1 /owned"
    )
    assert found.pop("that line 3 adds are replaced by line 5, and stay in the image") == "150kB 1 /again"
    (base,) = found
    assert base == "of the base image are in the image a second time: line 4 changes nothing but owner, mode or time"
    assert found[base].endswith(" 1 /bin/busybox")
    assert "   2 | >>> RUN mkdir /lists" in said


def test_a_check_tells_it_of_what_was_built_and_builds_nothing(built: Lamina, context: Path) -> None:
    (context / "Dockerfile").write_text(_WASTEFUL)
    assert built("build", "--check", str(context)) == "Check complete, no warnings found.\n"
    build(built, context, _WASTEFUL)
    said = built("build", "--check", str(context))
    assert said.startswith("Check complete, no warnings found.\n\nWARNING: WastedSpace\n")
    assert len(_advice(said)) == 4
    (context / "Dockerfile").write_text(_WASTEFUL.replace("echo small", "echo other"))
    assert built("build", "--check", str(context)) == "Check complete, no warnings found.\n"


def test_an_image_without_waste_gets_no_advice(built: Lamina, context: Path) -> None:
    (context / "data").write_bytes(bytes(300_000))
    dockerfile = "FROM busybox\nCOPY --chown=5:6 data /data\nRUN head -c 300000 /dev/zero > /x && rm /x\n"
    assert "WastedSpace" not in build(built, context, dockerfile, "--advise")

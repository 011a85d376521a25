"""Stages: built at the same time, given up together."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import Any

import pytest

from lamina.builder.warden import Warden
from support.building import LocalBuilder, build, left_over, refused
from support.command import Lamina

pytestmark = [pytest.mark.root, pytest.mark.needs("crun")]

#: A directory that the commands of all stages see.
_SHARED = "--mount=type=cache,id=meeting,target=/meeting"


def meet(name: str, other: str) -> str:
    """A command that ends when the one of another stage has begun, and fails when it does not."""
    wait = f"n=0; until [ -e /meeting/{other} ]; do n=$((n+1)); [ $n -lt 600 ] || exit 9; sleep 0.1; done"
    return f"RUN {_SHARED} touch /meeting/{name}; {wait}; echo {name} > /{name}\n"


def test_stages_that_do_not_need_one_another_run_at_the_same_time(built: Lamina, context: Path) -> None:
    out = context.parent / "out"
    dockerfile = (
        f"FROM busybox AS a\n{meet('a', 'b')}FROM busybox AS b\n{meet('b', 'a')}"
        "FROM scratch\nCOPY --from=a /a /\nCOPY --from=b /b /\n"
    )
    build(built, context, dockerfile, f"--output={out}", "-t", "one")
    assert (out / "a").read_text() + (out / "b").read_text() == "a\nb\n"
    assert build(built, context, dockerfile, "-t", "two").count("CACHED") == 4
    ids = {built("images", "-q", "--no-trunc", name) for name in ("one", "two")}
    assert len(ids) == 1
    assert built.run("system", "fsck").returncode == 0


def test_a_stage_that_fails_ends_the_others_and_is_the_one_that_is_told(built: Lamina, context: Path) -> None:
    said = refused(
        built,
        context,
        f"FROM busybox AS slow\nRUN {_SHARED} touch /meeting/slow; sleep 600\n"
        f"FROM busybox AS bad\nRUN echo x > /x\nRUN {_SHARED} until [ -e /meeting/slow ]; do sleep 0.1; done; exit 7\n"
        "FROM slow\nCOPY --from=bad / /\n",
        timeout=300,
    )
    assert "returned a non-zero code: 7" in said.splitlines()[-1]
    assert "CANCELED" in said
    assert not left_over(built)
    assert built.run("system", "fsck").returncode == 0
    out = context.parent / "out"
    assert "CACHED" in build(built, context, "FROM busybox AS bad\nRUN echo x > /x\n", f"--output={out}")


@pytest.mark.crash
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM), (signal.SIGHUP, -signal.SIGHUP)]
)
def test_an_interrupt_ends_all_stages_and_leaves_nothing(number: int, code: int, built: Lamina, context: Path) -> None:
    command = "RUN echo begun; sleep 600\n"
    (context / "Dockerfile").write_text(
        f"FROM busybox AS a\n{command}FROM busybox AS b\nRUN true\n{command}FROM a\nCOPY --from=b / /\n"
    )
    process = built.start("build", str(context))
    assert process.stderr is not None
    begun = 0
    for line in process.stderr:
        begun += line.rstrip().endswith(b" begun") and b"RUN" not in line
        if begun == 2:
            break
    process.send_signal(number)
    process.communicate(timeout=120)
    assert process.returncode == code
    assert not left_over(built)
    assert built.run("system", "fsck").returncode == 0


def test_stages_in_a_circle_are_refused_before_anything_is_done(built: Lamina, context: Path) -> None:
    said = refused(
        built, context, "FROM busybox AS a\nCOPY --from=b / /\nFROM busybox AS b\nRUN true\nCOPY --from=a / /\n"
    )
    assert "circular dependency detected on stage: b" in said
    assert "FROM" not in said


def test_a_trigger_of_the_base_image_can_close_a_circle_too(built: Lamina, context: Path) -> None:
    build(built, context, "FROM busybox\nONBUILD COPY --from=a /a /\n", "-t", "base")
    said = refused(
        built,
        context,
        "FROM busybox AS a\nCOPY --from=b /bin/true /x\nFROM base AS b\n"
        "FROM scratch\nCOPY --from=a / /\nCOPY --from=b / /\n",
        timeout=300,
    )
    assert "circular dependency detected on stage" in said


@pytest.mark.parametrize(
    "dockerfile",
    [
        "FROM triggered AS a\nFROM busybox AS b\nFROM scratch\nCOPY --from=a / /\nCOPY --from=b / /\n",
        "FROM busybox AS base\nONBUILD RUN true\nFROM base AS a\nFROM busybox AS b\nFROM a\nCOPY --from=b / /b\n",
        "FROM busybox AS a\nCOPY --link d /a\nCOPY --link d /b\nFROM triggered\nCOPY --from=a / /a\n",
    ],
    ids=("of a base image", "of a stage", "after copies ahead of their turn"),
)
def test_a_command_of_a_trigger_has_its_warden_forked_before_there_are_threads(
    builder: LocalBuilder, dockerfile: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (builder.context / "d").mkdir()
    (builder.context / "d" / "file").touch()
    made = builder.build("FROM busybox\nONBUILD RUN true\n")
    builder.name(made, "triggered")
    before = threading.active_count()
    threads = []

    class Watched(Warden):
        def __init__(self, *arguments: Any) -> None:
            threads.append(threading.active_count() - before)
            super().__init__(*arguments)

    monkeypatch.setattr("lamina.builder.warden.Warden", Watched)
    builder.build(dockerfile)
    assert threads == [0]

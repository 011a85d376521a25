"""``COPY --link`` and ``ADD --link`` of one stage: made at the same time, with the result of one after the other."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from threading import Barrier, BrokenBarrierError, Event

import pytest

from lamina.builder.progress import CACHED, DONE, FAILED, OUTPUT, START, StepEvent, is_cancelled
from lamina.errors import LaminaError
from lamina.layer.transaction import LayerTransaction
from support.building import LocalBuilder
from support.images import LayerTar
from support.mounts import memory_file_system

pytestmark = [pytest.mark.root, pytest.mark.needs("crun")]

#: Seconds that something may take that is to happen at the same time.
_PATIENCE = 20


@pytest.fixture(autouse=True)
def files(context: Path) -> None:
    for name in ("a", "b", "c"):
        (context / name / "deep").mkdir(parents=True)
        (context / name / "deep" / "file").write_text(name * 1000)
    (context / "empty").mkdir()


def meeting(count: int, patience: float = _PATIENCE) -> Callable[[StepEvent], None]:
    """Lets no copy with ``--link`` go on that has not met ``count`` - 1 others that have begun and not ended."""
    barrier = Barrier(count, timeout=patience)

    def watch(event: StepEvent) -> None:
        if event.kind == START and "--link" in event.name:
            barrier.wait()

    return watch


_CHAIN = """\
FROM busybox AS files
COPY b /from/
FROM busybox
# The stage is needed here already, so that it is finished when its other copy is looked at.
COPY --from=files /from /first
COPY --link a /a/
ENV WHERE=/below
WORKDIR $WHERE
COPY --link --from=files /from ./b/
COPY --link empty /
ADD --link --chown=7:8 --chmod=0700 c c
COPY a /plain/
RUN cat /a/deep/file b/deep/file c/deep/file > /all
LABEL a=b
"""


def test_copies_that_need_nothing_of_the_layers_below_are_made_at_the_same_time(
    builder: LocalBuilder, tmp_path: Path, context: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    early = builder.build(_CHAIN, meeting(4))
    assert builder.kinds("COPY --link a /a/") == [START, DONE]
    assert builder.storage.findings(deep=True) == []
    again = builder.build(_CHAIN)
    assert (again.image_id, again.cached) == (early.image_id, True)
    assert builder.kinds("ADD --link --chown=7:8 --chmod=0700 c c") == [START, CACHED]

    with memory_file_system(str(tmp_path / "second")) as memory:
        serial = LocalBuilder(f"{memory}/root", context)
        monkeypatch.setattr(LayerTransaction, "moves", False)
        with pytest.raises(BrokenBarrierError):
            serial.build(_CHAIN, meeting(4, patience=0.5))
        expected = serial.build(_CHAIN)
    assert early.image_id == expected.image_id
    with builder.storage.layers.mounted_image(early.image.config.chain_id) as path:
        assert Path(path, "all").read_text() == "a" * 1000 + "b" * 1000 + "c" * 1000
        assert os.stat(f"{path}/below/c/deep").st_uid == 7


def test_a_copy_is_made_beside_a_command_before_it(builder: LocalBuilder) -> None:
    copied = Event()

    def watch(event: StepEvent) -> None:
        if event.kind == DONE and "COPY" in event.name:
            copied.set()
        if event.kind == OUTPUT:
            assert copied.wait(_PATIENCE), "the copy waits for the command"

    builder.build("FROM busybox\nRUN --network=none echo begun\nCOPY --link a /a\n", watch)
    assert copied.is_set()


def test_the_first_step_that_is_wrong_is_the_one_that_is_told(builder: LocalBuilder) -> None:
    before = builder.layers()
    missing = Event()

    def watch(event: StepEvent) -> None:
        if event.kind == DONE and "COPY --link a" in event.name:
            missing.set()
        if event.kind == OUTPUT:
            assert missing.wait(_PATIENCE)

    dockerfile = "FROM busybox\nRUN --network=none {}\nCOPY --link nowhere /\nCOPY --link c a/\nCOPY --link a /a/\n"
    with pytest.raises(LaminaError, match="returned a non-zero code: 3"):
        builder.build(dockerfile.format("echo begun; exit 3"), watch)
    assert builder.layers() == before
    assert builder.storage.findings(deep=True) == []

    missing.clear()
    with pytest.raises(LaminaError, match=r"file not found in build context.*nowhere") as failure:
        builder.build(dockerfile.format("echo begun > /begun; echo begun"), watch)
    assert failure.value.location.line == 3  # type: ignore[attr-defined]  # noted on the way
    assert len(builder.layers()) == len(before) + 1
    assert builder.storage.findings(deep=True) == []


def test_an_early_copy_that_fails_is_shown_when_its_turn_comes(builder: LocalBuilder) -> None:
    (builder.context / "cut.tar").write_bytes(LayerTar().file("file", b"x" * 5000).bytes()[:2000])
    begun, tried = Event(), Event()

    def watch(event: StepEvent) -> None:
        if event.kind == START and event.name.endswith("/to/"):
            begun.set()
        if event.kind == DONE and "COPY --link b" in event.name:
            tried.set()
        if event.kind == OUTPUT:
            assert begun.wait(_PATIENCE)
            assert tried.wait(_PATIENCE)
            assert builder.kinds("/to/") == [START]

    dockerfile = (
        "FROM busybox\nRUN --network=none echo begun; {}\nADD --link cut.tar /to/\nRUN --network=none true\n"
        "COPY --link b /b/\n"
    )
    with pytest.raises(LaminaError, match="unexpected EOF") as failure:
        builder.build(dockerfile.format("true"), watch)
    assert failure.value.location.line == 3  # type: ignore[attr-defined]  # noted on the way
    assert builder.kinds("/to/") == [START, FAILED]
    assert builder.storage.findings(deep=True) == []

    begun.clear()
    tried.clear()
    with pytest.raises(LaminaError, match="returned a non-zero code: 1"):
        builder.build(dockerfile.format("false"), watch)
    assert [event.kind for event in builder.events if is_cancelled(event)] == [FAILED]

"""Unpacking beside the caller, in a thread and in a process of its own."""

from __future__ import annotations

import gzip
import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from threading import Timer

import pytest

from lamina.errors import Cancelled, Corrupt, SystemFailure
from lamina.graphdriver.contract import DiffForm
from lamina.layer.unpack import MIDDLING, SMALL, Job, UnpackTarget, parse_answer, start_unpack
from support.layertar import file, layer, reassemble

NOISE = random.Random(1).randbytes(3 * SMALL)
LARGE = NOISE * (MIDDLING // len(NOISE) + 1)


@pytest.fixture
def target(tmp_path: Path) -> UnpackTarget:
    (tmp_path / "layer").mkdir()
    return UnpackTarget(str(tmp_path / "layer"), DiffForm.SNAPSHOT, str(tmp_path / "layer.tar-split"))


def feed(job: Job, data: bytes, piece: int = 1 << 16) -> None:
    for start in range(0, len(data), piece):
        job.feed(data[start : start + piece])


@pytest.mark.parametrize("content", [b"small", NOISE, LARGE], ids=["small", "middling", "large"])
@pytest.mark.parametrize("hint", [None, 0, 1 << 30])
def test_job_fills_the_directory_and_says_what_it_found(target: UnpackTarget, content: bytes, hint: int | None) -> None:
    data = layer(file(b"dir/file", content))
    job = start_unpack(target, expected_size_hint=hint)
    feed(job, gzip.compress(data, 1))
    result = job.finish()
    assert result.diff_id == "sha256:" + hashlib.sha256(data).hexdigest()
    assert (result.size, result.tar_size) == (len(content), len(data))
    assert Path(target.directory, "dir/file").read_bytes() == content
    assert reassemble(Path(target.directory)) == data
    job.abort()


def test_umask_of_the_caller_does_not_matter_and_stays(target: UnpackTarget) -> None:
    old = os.umask(0o077)
    try:
        job = start_unpack(target)
        job.feed(layer(file(b"implied/open", b"", mode=0o666)))
        job.finish()
        assert os.umask(0o077) == 0o077
    finally:
        os.umask(old)
    assert os.stat(f"{target.directory}/implied").st_mode & 0o777 == 0o755
    assert os.stat(f"{target.directory}/implied/open").st_mode & 0o777 == 0o666


@pytest.mark.parametrize("size", [0, len(LARGE)])
def test_error_arrives_with_its_kind_and_the_entrys_name(target: UnpackTarget, size: int) -> None:
    job = start_unpack(target)

    def run() -> None:
        feed(job, layer(file(b"a", LARGE[:size]), file(b"../evil", b"x"), file(b"b", NOISE * 4)))
        job.finish()

    with pytest.raises(Corrupt, match=r"\.\./evil"):
        run()
    job.abort()


def test_of_two_middling_layers_at_once_the_second_gets_a_process(tmp_path: Path) -> None:
    jobs = []
    for name in ("one", "two", "three"):
        (tmp_path / name).mkdir()
        job = start_unpack(UnpackTarget(str(tmp_path / name), DiffForm.SNAPSHOT))
        feed(job, layer(file(b"a", NOISE)))
        jobs.append(job)
        if name == "two":
            jobs[0].finish()
    assert [job._process is not None for job in jobs] == [False, True, False]
    for job in jobs[1:]:
        job.finish()
    assert [(tmp_path / name / "a").stat().st_size for name in ("one", "two", "three")] == [len(NOISE)] * 3


@pytest.mark.parametrize("end", ["abort", "grow"])
def test_what_is_not_unpacked_here_makes_room_for_another(tmp_path: Path, end: str) -> None:
    jobs = [start_unpack(UnpackTarget(str(tmp_path), DiffForm.SNAPSHOT)) for _ in range(2)]
    data = layer(file(b"a", LARGE))
    feed(jobs[0], data[: 2 * SMALL])
    if end == "abort":
        jobs[0].abort()
    else:
        feed(jobs[0], data[2 * SMALL :])
    feed(jobs[1], data[: 2 * SMALL])
    assert jobs[1]._process is None
    for job in jobs:
        job.abort()


def test_truncated_stream_is_corrupt(target: UnpackTarget) -> None:
    job = start_unpack(target)
    feed(job, gzip.compress(layer(file(b"a", NOISE)), 1)[:-1000])
    with pytest.raises(Corrupt, match="unexpected EOF"):
        job.finish()


def test_abort_ends_the_worker_and_is_idempotent(target: UnpackTarget) -> None:
    job = start_unpack(target)
    feed(job, layer(file(b"a", LARGE))[: MIDDLING + 1])
    job.abort()
    job.abort()
    with pytest.raises(Cancelled):
        job.feed(b"more")


def test_abort_from_another_thread_ends_a_feed_that_waits(target: UnpackTarget) -> None:
    job = start_unpack(target, expected_size_hint=1 << 30)
    process = job._process
    assert process is not None
    process.send_signal(signal.SIGSTOP)
    Timer(0.3, job.abort).start()
    with pytest.raises((Cancelled, SystemFailure)):
        feed(job, NOISE * 10)
    job.abort()


def test_killed_worker_is_an_error_not_a_wait(target: UnpackTarget) -> None:
    job = start_unpack(target, expected_size_hint=1 << 30)
    process = job._process
    assert process is not None
    process.send_signal(signal.SIGKILL)
    with pytest.raises(SystemFailure, match="no answer"):
        feed(job, NOISE * 10)


def test_silence_and_unknown_kinds_are_failures() -> None:
    with pytest.raises(SystemFailure):
        parse_answer(b"", -9)
    with pytest.raises(SystemFailure, match="odd"):
        parse_answer(b'{"error": "NoSuchKind", "message": "odd"}', 0)


def test_worker_ends_with_its_parent(target: UnpackTarget) -> None:
    script = f"""
import os, sys
from lamina.graphdriver.contract import DiffForm
from lamina.layer.unpack import UnpackTarget, start_unpack
job = start_unpack(UnpackTarget({target.directory!r}, DiffForm.SNAPSHOT), expected_size_hint=1 << 30)
print(job._process.pid, flush=True)
if os.fork() == 0:
    os.setsid()
    os.close(1)
    import time
    time.sleep(3)  # a forked monitor keeps the parent's descriptors
    os._exit(0)
os.kill(os.getpid(), 9)
"""
    parent = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    worker = int(parent.stdout)
    deadline = time.monotonic() + 2.5
    while os.path.exists(f"/proc/{worker}") and time.monotonic() < deadline:
        if b" Z " in Path(f"/proc/{worker}/stat").read_bytes():
            return
        time.sleep(0.02)
    assert not os.path.exists(f"/proc/{worker}")


def test_inherited_lock_is_held_until_the_worker_has_ended(target: UnpackTarget, tmp_path: Path) -> None:
    import fcntl

    lock = os.open(tmp_path / "lock", os.O_CREAT | os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)
    job = start_unpack(target._replace(inherit=(lock,)), expected_size_hint=1 << 30)
    os.close(lock)
    other = os.open(tmp_path / "lock", os.O_RDWR)
    with pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    job.abort()
    fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(other)

"""A runtime's program in sealed memory: it runs, and nobody can write to it."""

from __future__ import annotations

import fcntl
import os
import subprocess
from pathlib import Path

import pytest

from lamina.runtime import sealing
from lamina.runtime.program import RuntimeProgram

_GET_SEALS = 1034


def _descriptor(runtime: RuntimeProgram) -> int:
    return int(runtime.path.rpartition("/")[2])


def test_a_sealed_copy_runs_like_the_program() -> None:
    runtime = sealing.sealed(RuntimeProgram("crun", "/bin/echo"))
    descriptor = _descriptor(runtime)
    try:
        done = subprocess.run([runtime.path, "hello"], pass_fds=[descriptor], stdout=subprocess.PIPE, check=True)
        assert done.stdout == b"hello\n"
        assert descriptor >= 10
        assert not os.get_inheritable(descriptor)
    finally:
        os.close(descriptor)


def test_nobody_can_change_it() -> None:
    descriptor = _descriptor(sealing.sealed(RuntimeProgram("crun", "/bin/true")))
    try:
        assert fcntl.fcntl(descriptor, _GET_SEALS) == 0xF  # what crun looks for
        with pytest.raises(PermissionError):
            os.pwrite(descriptor, b"x", 0)
    finally:
        os.close(descriptor)


def test_a_runtime_that_does_not_ask_for_seals_stays_as_it_is() -> None:
    runtime = RuntimeProgram("runc", "/usr/sbin/runc")
    assert sealing.sealed(runtime) is runtime


def test_a_program_that_can_not_be_copied_stays_as_it_is(tmp_path: Path) -> None:
    runtime = RuntimeProgram("crun", str(tmp_path / "absent"))
    assert sealing.sealed(runtime) is runtime


def test_where_memory_can_not_be_executed_the_program_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    runtime = RuntimeProgram("crun", "/bin/true")
    assert sealing.sealed(runtime) is runtime

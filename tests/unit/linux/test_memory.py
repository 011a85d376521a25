"""Giving memory back."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest

from lamina.linux import memory

_PROGRAM = """
import ctypes, os, ssl, sqlite3, sys
from lamina.linux import memory

def files():  # kB of pages of files
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("RssFile:"))

before = files()
for action in sys.argv[1:]:
    getattr(memory, action)()
after = files()
import json
assert json.loads(json.dumps({"still": "works"}))
assert sqlite3.connect(":memory:").execute("select upper('a')").fetchone() == ("A",)
assert ssl.create_default_context().get_ciphers()
print(before - after, before)
"""


@pytest.mark.parametrize("actions", [("collect", "unmap_files"), ("unmap_files",)])
def test_a_process_shrinks_and_works_on(actions: tuple[str, ...]) -> None:
    done = subprocess.run([sys.executable, "-c", _PROGRAM, *actions], capture_output=True, text=True, check=True)
    less, before = map(int, done.stdout.split())
    assert less > before / 2


def test_a_process_without_a_descriptor_left_works_on() -> None:
    program = (
        "import resource\nfrom lamina.linux import memory\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))\nmemory.collect()\nmemory.unmap_files()\nprint('on')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "on\n"


class Clock:
    """Time that passes when a test says so, what was done at which, and a ``select.poll`` of a process that something
    wakes every ``wakes`` seconds."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.wakes = math.inf
        self.done: list[tuple[str, float]] = []
        self._last = 0.0
        monkeypatch.setattr(memory, "time", self)
        monkeypatch.setattr(memory, "collect", lambda: self.note("collect"))
        monkeypatch.setattr(memory, "unmap_files", lambda: self.note("unmap"))

    def note(self, what: str) -> None:
        self.done.append((what, round(self.now, 2)))

    def monotonic(self) -> float:
        return self.now

    def poll(self, milliseconds: int | None) -> list[tuple[int, int]]:
        event = self._last + self.wakes
        timeout = math.inf if milliseconds is None else self.now + milliseconds / 1000
        self.now = min(event, timeout)
        if self.now < event:
            return []
        self._last = event
        return [(0, 0)]

    def run(self, until: float, *, wakes: float = math.inf, seconds: float | None = None) -> None:
        """Wait in a loop, at most ``seconds`` each time."""
        self.wakes = wakes
        thrift = memory.Thrift()
        while self.now < until:
            before = self.now
            happened = thrift.poll(self, seconds)  # type: ignore[arg-type] # all of a poll object that is used
            assert happened or self.now - before > (seconds or 0.0) - 1e-6, "it was woken before the time, by nothing"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_a_process_that_nobody_wakes_settles_and_is_left_alone(clock: Clock) -> None:
    clock.run(60, wakes=61)
    assert clock.done == [("collect", 1.0), ("unmap", 1.0)]


def test_a_process_that_is_woken_all_the_time_settles_too(clock: Clock) -> None:
    clock.run(3, wakes=0.03)
    (collected, unmapped, *others) = clock.done
    assert [collected[0], unmapped[0]] == ["collect", "unmap"]
    assert 1 <= collected[1] <= 1.05
    assert {what for what, _ in others} == {"unmap"}
    assert len(others) <= 4, "not after each time that it was woken"


def test_files_are_unmapped_soon_after_each_time_it_was_woken(clock: Clock) -> None:
    clock.run(4.5, wakes=1.25)
    assert clock.done == [("collect", 1.0), ("unmap", 1.0), ("unmap", 1.5), ("unmap", 2.55), ("unmap", 3.8)]


def test_who_waits_for_a_time_wakes_at_that_time(clock: Clock) -> None:
    clock.run(4.5, seconds=2)
    assert clock.done == [("collect", 1.0), ("unmap", 1.0), ("unmap", 2.05), ("unmap", 4.05)]

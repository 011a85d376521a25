"""Giving memory back."""

from __future__ import annotations

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
getattr(memory, sys.argv[1])()
after = files()
import json
assert json.loads(json.dumps({"still": "works"}))
assert sqlite3.connect(":memory:").execute("select upper('a')").fetchone() == ("A",)
assert ssl.create_default_context().get_ciphers()
print(before - after, before)
"""


@pytest.mark.parametrize("action", ["give_back", "unmap_files"])
def test_a_process_shrinks_and_works_on(action: str) -> None:
    done = subprocess.run([sys.executable, "-c", _PROGRAM, action], capture_output=True, text=True, check=True)
    less, before = map(int, done.stdout.split())
    assert less > before / 2


class Clock:
    """Time that passes when a test says so, and what was done at which."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        self.done: list[tuple[str, float]] = []
        monkeypatch.setattr(memory.time, "monotonic", lambda: self.now)
        for name in ("give_back", "unmap_files"):
            monkeypatch.setattr(memory, name, lambda name=name: self.done.append((name, round(self.now - 1000, 3))))

    def run(self, thrift: memory.Thrift, seconds: float, *, wakes: float) -> None:
        """Let time pass for a process that is woken every ``wakes`` seconds and by what ``thrift`` is due to do."""
        end = self.now + seconds
        event = self.now + wakes
        while self.now < end:
            rest = thrift.seconds()
            woken = rest is None or self.now + rest >= event
            self.now = event if woken else self.now + (rest or 0.0)
            event += wakes if woken else 0.0
            thrift.step(woken=woken)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_a_process_that_nobody_wakes_settles_and_is_left_alone(clock: Clock) -> None:
    thrift = memory.Thrift()
    clock.run(thrift, 60, wakes=1000)
    assert clock.done == [("give_back", 1.0)]
    assert thrift.seconds() is not None, "it has been woken just now"


def test_a_process_that_is_woken_all_the_time_settles_too(clock: Clock) -> None:
    clock.run(memory.Thrift(), 3, wakes=0.03)
    (first, *others) = clock.done
    assert first[0] == "give_back"
    assert first[1] == pytest.approx(1, abs=0.05)
    assert 3 <= len(others) <= 4, "what is woken all the time is not to be tidied up after all the time"


def test_files_are_unmapped_soon_after_each_time_it_was_woken(clock: Clock) -> None:
    clock.run(memory.Thrift(), 4.5, wakes=1.25)
    assert clock.done == [("give_back", 1.0), ("unmap_files", 1.5), ("unmap_files", 2.6), ("unmap_files", 3.85)]

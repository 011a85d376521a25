"""Giving memory back."""

from __future__ import annotations

import subprocess
import sys

_PROGRAM = """
from lamina.linux import memory
def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1])
before = resident()
memory.give_back()
after = resident()
import json
assert json.loads(json.dumps({"still": "works"}))
print(before - after)
"""


def test_a_process_shrinks_and_works_on() -> None:
    done = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True)
    assert int(done.stdout) > 0

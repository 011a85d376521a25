"""Tests that are ended from outside take what they have made with them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

pytestmark = [pytest.mark.root, pytest.mark.needs("crun", "ip", "nft", "nsenter")]

_TESTS = Path(__file__).resolve().parents[1]
_TEST = """
import time
from pathlib import Path

pytest_plugins = ["integration.networks.conftest"]


def test_that_never_ends(box):
    box("run", "-d", "--name", "left", "busybox", "sleep", "1000")
    here = Path(__file__)
    here.with_name("running.new").write_text(box.host.name)
    here.with_name("running.new").rename(here.with_name("running"))
    time.sleep(100)
"""


def test_a_test_of_networks_that_is_ended_leaves_no_container(tmp_path: Path) -> None:
    file = tmp_path / "test_endless.py"
    file.write_text(_TEST)
    command = [sys.executable, "-m", "pytest", "-q", "-c", str(_TESTS.parent / "pyproject.toml"), str(file)]
    command += [
        "--rootdir",
        str(_TESTS),
        "--confcutdir",
        str(_TESTS),
        "-p",
        "conftest",
        "--basetemp",
        str(tmp_path / "base"),
    ]
    environment = {**os.environ, "PYTHONPATH": str(_TESTS)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as running:
        deadline = time.monotonic() + 30
        while not (tmp_path / "running").exists():
            assert time.monotonic() < deadline
            assert running.poll() is None, running.communicate()[0].decode()
            time.sleep(0.05)
        namespace = Path("/run/netns", (tmp_path / "running").read_text())
        assert namespace.exists()
        assert _users_of(tmp_path / "base") - {running.pid}
        running.terminate()
        said = running.communicate(timeout=60)[0].decode()
    try:
        assert not _users_of(tmp_path / "base"), said
        assert not namespace.exists(), said
    finally:
        for pid in _users_of(tmp_path / "base"):
            os.kill(pid, signal.SIGKILL)


def _users_of(directory: Path) -> set[int]:
    """Processes that have a file below ``directory`` open, such as monitors."""
    found = set()
    for descriptor in Path("/proc").glob("[0-9]*/fd/*"):
        with suppress(OSError):
            if os.readlink(descriptor).startswith(f"{directory}/"):
                found.add(int(descriptor.parts[2]))
    return found

"""A short run of ``make endurance``."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.root, pytest.mark.crash, pytest.mark.needs("crun", "nft", "unshare")]

_TESTS = Path(__file__).parents[1]


def test_short_containers_and_kills_leave_nothing_and_nothing_grows(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "endurance", "--containers", "15", "--kills", "15"]
    done = subprocess.run(
        [*command, "--work", str(tmp_path / "work")],
        env={**os.environ, "PYTHONPATH": str(_TESTS)},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "15 kills" in done.stdout
    assert os.listdir(tmp_path) == []

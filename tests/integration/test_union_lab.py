"""The commands of ``docs/union-lab.md`` say what the page says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.mounts import unmount_all

_PAGE = Path(__file__).resolve().parents[2] / "docs" / "union-lab.md"


def steps() -> Iterator[tuple[str, str]]:
    """Commands of the page with what follows them."""
    for block in re.findall(r"^```console\n(.*?)^```$", _PAGE.read_text(), re.DOTALL | re.MULTILINE):
        yield from re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE)


@pytest.fixture
def laboratory(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    unmount_all(str(tmp_path))


@pytest.mark.root
@pytest.mark.needs("getfattr")
def test_the_lab_goes_as_the_page_says(laboratory: Path) -> None:
    programs = os.path.dirname(sys.executable)
    environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "LC_ALL": "C"}
    done = 0
    for command, expected in steps():
        said = subprocess.run(
            ["bash", "-c", command], cwd=laboratory, env=environment, text=True, capture_output=True, check=False
        )
        assert (said.stdout, said.stderr) == (expected, ""), command
        done += 1
    assert done > 40

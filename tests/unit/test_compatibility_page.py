"""``docs/compatibility.md`` says which verbs and flags there are, and is right."""

from __future__ import annotations

import importlib
import re
import subprocess
from pathlib import Path

import pytest

from lamina.cli.verbs import GROUPS, VERBS
from support.programs import DOCKER

#: Verbs that docker does not have.
_OWN = {"doctor", "system fsck", "system restore", *(f"union {verb}" for verb in GROUPS["union"].verbs)}
_PAGE = Path(__file__).resolve().parents[2] / "docs" / "compatibility.md"


def _verbs() -> dict[str, str]:
    """What is typed, to the module that does it; what is a spelling of a top-level verb is left out."""
    verbs = dict(VERBS)
    for name, group in GROUPS.items():
        verbs |= {f"{name} {verb}": module for verb, module in group.verbs.items() if module not in VERBS.values()}
    return verbs


def _rows() -> dict[str, tuple[set[str], set[str]]]:
    """The page's table of verbs: verb to its flags and to docker's flags that it lacks."""
    rows = {}
    for line in _PAGE.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| `") and len(cells) == 4:
            rows[cells[0].strip("`")] = _flags(cells[1]), _flags(cells[2])
    return rows


def _flags(text: str) -> set[str]:
    return set(re.findall(r"`--([\w-]+)`", text))


def _own_flags(verb: str, *, hidden: bool) -> set[str]:
    module = importlib.import_module(f"lamina.cli.{_verbs()[verb]}")
    return {flag.name for flag in module.COMMAND.flags if hidden or not flag.hidden}


@pytest.mark.parametrize("verb", _verbs())
def test_the_page_lists_the_flags_of(verb: str) -> None:
    flags, _ = _rows()[verb]
    assert flags == _own_flags(verb, hidden=False)


@pytest.mark.needs(DOCKER)
@pytest.mark.parametrize("verb", [verb for verb in _verbs() if verb not in _OWN])
def test_the_page_lists_what_docker_has_more_for(verb: str) -> None:
    said = subprocess.run([DOCKER, *verb.split(), "--help"], capture_output=True, text=True, check=True).stdout
    docker = set(re.findall(r"^\s+(?:-\w, )?--([\w-]+)", said, re.MULTILINE)) - {"help"}
    _, missing = _rows()[verb]
    assert missing == docker - _own_flags(verb, hidden=True)

"""One driver of each kind on an empty data root."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lamina.graphdriver import open_driver
from lamina.graphdriver.contract import GraphDriver
from support.stacks import Stacks


@pytest.fixture(
    params=[*(pytest.param(name, marks=pytest.mark.root) for name in ("overlay2", "fuse-overlayfs", "aufs")), "vfs"]
)
def driver(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[GraphDriver]:
    """Every driver in turn; what a test made is removed, and then nothing may be left."""
    made = open_driver(str(tmp_path), request.param)
    yield made
    for layer in list(made.ids()):
        made.remove(layer)
    assert list(made.problems(frozenset())) == []


@pytest.fixture
def overlay2(tmp_path: Path) -> Iterator[GraphDriver]:
    made = open_driver(str(tmp_path), "overlay2")
    yield made
    for layer in list(made.ids()):
        made.remove(layer)
    assert list(made.problems(frozenset())) == []


@pytest.fixture
def stacks(driver: GraphDriver) -> Stacks:
    return Stacks(driver)

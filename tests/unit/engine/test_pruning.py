"""Removing what nobody uses while others remove it too."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from lamina.container.record import Container
from lamina.container.store import NoSuchContainer
from lamina.dataroot import DataRoot
from lamina.engine import pruning
from lamina.engine.events import read
from lamina.errors import Conflict


class Containers:
    """As far as prune asks. :ivar there: ids of those that are removed when that is asked for."""

    def __init__(self) -> None:
        self.there = {"a" * 64, "c" * 64}
        self.started = {"c" * 64}

    def listed(self) -> list[Container]:
        return [
            Container(
                {
                    "ID": letter * 64,
                    "Name": letter,
                    "Created": "2020-01-01T00:00:00Z",
                    "State": {"Running": False},
                    "Config": {},
                },
                {},
            )
            for letter in "abc"
        ]

    def size(self, text: str) -> int:
        if text not in self.there:
            raise NoSuchContainer(text)
        return 5

    def remove(self, text: str) -> None:
        if text in self.started:
            raise Conflict("You cannot remove a running container")
        self.there.remove(text)


class Engine:
    """As far as prune asks."""

    def __init__(self, path: Path) -> None:
        self.root = DataRoot.open(str(path))
        self.container_service = Containers()


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(tmp_path / "root")


def test_a_container_that_somebody_else_removes_or_starts_meanwhile_is_left_out(engine: Engine) -> None:
    removed = pruning.containers(engine, {})  # type: ignore[arg-type] # all of an engine that is used
    assert removed == pruning.Pruned(["a" * 64], 5)
    (event,) = read(engine.root, since=0, until=time.time_ns(), stopped=lambda: True)
    assert (event["Action"], event["Actor"]["Attributes"]) == ("prune", {"reclaimed": "5"})

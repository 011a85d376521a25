"""The process that a build's containers are children of, seen from the build."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from lamina.builder.network import Place
from lamina.builder.warden import Warden
from lamina.errors import SystemFailure

pytestmark = [pytest.mark.root, pytest.mark.needs("crun")]


class Broken:
    """A network that can't be made."""

    def open(self) -> Place:
        raise SystemFailure("no room for a bridge")

    def close(self) -> None:
        pass


@pytest.fixture
def warden() -> Iterator[Warden]:
    started = Warden(network=Broken())  # type: ignore[arg-type] # all of a network that is used
    yield started
    started.close()


def test_all_who_want_a_network_that_failed_are_told_why(warden: Warden) -> None:
    with pytest.raises(SystemFailure, match="no room for a bridge"):
        warden.place()
    others = [os.open("/dev/null", os.O_RDONLY) for _ in range(3)]  # one has the number of the pipe that was closed
    with pytest.raises(SystemFailure, match="no room for a bridge"):
        warden.place()
    for descriptor in others:
        os.close(descriptor)  # nobody else has


def test_an_answer_that_nobody_waits_for_keeps_nothing_open() -> None:
    before = os.listdir("/proc/self/fd")
    started = Warden(network=Broken())  # type: ignore[arg-type] # as above
    started.connect()
    started.close()
    assert os.listdir("/proc/self/fd") == before

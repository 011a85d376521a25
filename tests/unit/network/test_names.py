"""Names of containers, as far as they need no network."""

from __future__ import annotations

import pytest

from lamina.cli.container.createflags import networking
from lamina.network import naming


def test_whoever_needs_names_is_told_when_nobody_can_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(naming, "_PROGRAMS", ("/nonexistent",))
    assert networking.advice("mine") == [networking.NO_NAMES]
    for mode in ("default", "bridge", "host", "none", "container:one"):
        assert networking.advice(mode) == []


def test_nobody_is_told_when_the_server_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(naming, "_PROGRAMS", ("/bin/sh",))
    assert networking.advice("mine") == []

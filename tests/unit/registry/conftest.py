"""A registry in this process, and clients for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from lamina.registry.client import RegistryClient
from lamina.registry.credentials import CredentialSource
from lamina.registry.settings import Settings
from support.fake_registry import FakeRegistry


@pytest.fixture
def fake_registry() -> Iterator[FakeRegistry]:
    with FakeRegistry() as registry:
        yield registry


@pytest.fixture
def other_registry() -> Iterator[FakeRegistry]:
    with FakeRegistry() as registry:
        yield registry


class Waits(list[float]):
    """Records how long the client would have waited, and does not wait."""

    def __call__(self, seconds: float) -> None:
        self.append(seconds)


@pytest.fixture
def waits() -> Waits:
    return Waits()


@pytest.fixture
def client_with(waits: Waits) -> Iterator[Callable[..., RegistryClient]]:
    """``client_with(credentials=None, **settings)``: a client that waits for nothing."""
    with ExitStack() as opened:

        def make(credentials: CredentialSource | None = None, **settings: Any) -> RegistryClient:
            given = {"backoff": 0.001, "backoff_limit": 0.01, "read_timeout": 10.0, **settings}
            return opened.enter_context(RegistryClient(Settings(**given), credentials, wait=waits))

        yield make


@pytest.fixture
def client(client_with: Callable[..., RegistryClient]) -> RegistryClient:
    return client_with()

"""Roots of the vfs driver (no rights needed), and clients for real registries."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from lamina.distribution.stores import Stores
from lamina.registry.client import RegistryClient
from lamina.registry.credentials import CredentialSource
from lamina.registry.settings import Settings
from support.stores import open_stores


@pytest.fixture
def stores_at(tmp_path: Path) -> Callable[..., Stores]:
    """``stores_at("name")``: the stores of an empty root."""

    def make(name: str = "root", driver: str = "vfs") -> Stores:
        return open_stores(str(tmp_path / name), driver)

    return make


@pytest.fixture
def stores(stores_at: Callable[..., Stores]) -> Stores:
    return stores_at()


@pytest.fixture
def client_with() -> Iterator[Callable[..., RegistryClient]]:
    with ExitStack() as opened:

        def make(credentials: CredentialSource | None = None, **settings: Any) -> RegistryClient:
            return opened.enter_context(RegistryClient(Settings(**{"backoff": 0.01, **settings}), credentials))

        yield make


@pytest.fixture
def client(client_with: Callable[..., RegistryClient]) -> RegistryClient:
    return client_with()

"""A registry that misbehaves, and a root that must not notice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lamina.distribution.pull import PullResult, pull
from lamina.distribution.stores import Stores
from lamina.reference import parse
from lamina.registry.client import RegistryClient
from lamina.registry.settings import Settings
from support.fake_registry import FakeRegistry
from support.images import LayerTar, TestImage
from support.stores import content, open_stores


@pytest.fixture
def fake_registry() -> Iterator[FakeRegistry]:
    with FakeRegistry() as registry:
        yield registry


@pytest.fixture
def stores(tmp_path: Path) -> Stores:
    return open_stores(str(tmp_path / "root"))


@pytest.fixture
def image() -> TestImage:
    """Two small layers."""
    return TestImage([LayerTar().file("one", "1").bytes(), LayerTar().file("two", "2").bytes()])


@pytest.fixture
def client() -> Iterator[RegistryClient]:
    settings = Settings(backoff=0.001, backoff_limit=0.01, read_timeout=10.0)
    with RegistryClient(settings) as opened:
        yield opened


@pytest.fixture
def pulled(fake_registry: FakeRegistry, stores: Stores, client: RegistryClient) -> Callable[..., list[PullResult]]:
    """``pulled("x")``: pull that repository of the fake registry into the empty root."""

    def run(name: str = "x", **options: object) -> list[PullResult]:
        return pull(parse(f"{fake_registry.address}/{name}").tagged(), stores, client, **options)

    return run


@pytest.fixture
def refused(stores: Stores, pulled: Callable[..., list[PullResult]]) -> Callable[..., str]:
    """``refused(KIND, "x")``: the pull fails with an error of that kind and leaves nothing; the error's text."""

    def run(kind: type[Exception], name: str = "x", **options: object) -> str:
        before = content(stores.root.path)
        with pytest.raises(kind) as raised:
            pulled(name, **options)
        assert content(stores.root.path) == before
        assert stores.images.ids() == []
        text = str(raised.value)
        assert text
        assert text.isprintable()
        assert len(text) < 2000
        return text

    return run

"""An empty root that a hostile archive must not change."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lamina.digest import DiffID
from lamina.distribution.load import load
from lamina.distribution.stores import Stores
from lamina.errors import LaminaError
from lamina.layer.contract import Layer
from support.images import LayerTar, TestImage, sha256
from support.stores import content, open_stores


@pytest.fixture
def stores(tmp_path: Path) -> Stores:
    opened = open_stores(str(tmp_path / "data" / "root"))
    tar = LayerTar().bytes()
    with opened.layers.begin() as transaction:  # given up: it only makes the directories that every root has
        layer = transaction.claim(DiffID(sha256(tar)), None)
        assert not isinstance(layer, Layer)
        layer.fill_from(io.BytesIO(tar))
    return opened


@pytest.fixture
def image() -> TestImage:
    """Two small layers."""
    return TestImage([LayerTar().file("one", "1").bytes(), LayerTar().file("two", "2").bytes()])


@pytest.fixture
def docker_files(image: TestImage) -> Callable[..., dict[str, bytes]]:
    """``docker_files(RepoTags=[...])``: files of a good archive of ``image``, the manifest's one item changed so."""

    def make(**members: Any) -> dict[str, bytes]:
        config = image.image_id.removeprefix("sha256:") + ".json"
        paths = [f"{number}/layer.tar" for number in range(len(image.layers))]
        item = {"Config": config, "RepoTags": ["victim:latest"], "Layers": paths, **members}
        files = dict(zip(paths, image.layers, strict=True))
        return {**files, config: image.config.data, "manifest.json": json.dumps([item]).encode()}

    return make


@pytest.fixture
def refused(stores: Stores, tmp_path: Path) -> Callable[..., str]:
    """``refused(KIND, archive)``: loading fails with an error of that kind and changes nothing; the error's text.

    ``archive`` is a tar's bytes, or its files by name. It is given as a file and as a pipe would be.
    """

    def run(kind: type[LaminaError], archive: bytes | dict[str, bytes]) -> str:
        data = archive if isinstance(archive, bytes) else tar_of(archive)
        path = tmp_path / "hostile.tar"
        path.write_bytes(data)
        before = content(str(tmp_path))
        with pytest.raises(kind) as caught:
            load(str(path), stores)
        with pytest.raises(kind):
            load(io.BytesIO(data), stores)
        assert content(str(tmp_path)) == before
        assert stores.images.ids() == []
        assert stores.images.references.all() == {}
        assert list(stores.layers.all()) == []
        return str(caught.value)

    return run


def tar_of(files: dict[str, bytes]) -> bytes:
    tar = LayerTar()
    for name, data in files.items():
        tar.file(name, data)
    return tar.bytes()

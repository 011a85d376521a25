"""Images by the Python API."""

from __future__ import annotations

import os
import time
from datetime import datetime
from pathlib import Path

import pytest

from lamina import Engine
from support.images import LayerTar, TestImage


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    """An engine with the image ``small:1``."""
    if os.geteuid() != 0:
        pytest.skip("needs root: layers keep their owners")
    engine = Engine(str(tmp_path / "root"), storage_driver="vfs")
    image = TestImage([LayerTar().file("a", "b").bytes()])
    engine.images.load(image.docker_archive(str(tmp_path / "small.tar"), "small:1")).result()
    return engine


def test_tagging_sets_the_time_of_the_last_tag(engine: Engine) -> None:
    image = engine.images.get("small:1")
    assert image.record.last_updated == ""
    before = time.time()
    image.tag("other:1")
    after = engine.images.get("other:1")
    assert after.tags == ["other:1", "small:1"]
    assert before - 1 <= datetime.fromisoformat(after.record.last_updated).timestamp() <= time.time()

"""Pulls that compete, and pulls that run out of space."""

from __future__ import annotations

import os
import random
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lamina.distribution import originals
from lamina.distribution.pull import pull
from lamina.errors import NoSpace
from lamina.reference import parse
from lamina.registry.client import RegistryClient
from support.images import LayerTar, TestImage
from support.registry import Registry
from support.stores import content, open_stores

pytestmark = pytest.mark.registry


def test_pulls_of_one_image_at_once_do_the_work_once(
    registry: Callable[..., Registry], tmp_path: Path, client_with: Any
) -> None:
    server = registry()
    image = TestImage([LayerTar().file(f"f{number}", os.urandom(200_000)).bytes() for number in range(6)])
    name = parse(server.upload(image, "x"))
    failures: list[BaseException] = []

    def run() -> None:
        try:
            pull(name, open_stores(str(tmp_path / "root")), client_with())
        except BaseException as error:
            failures.append(error)

    open_stores(str(tmp_path / "root"))
    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    asked = Counter(line for line in server.requests() if line.startswith("GET ") and "/blobs/" in line)
    assert {line: count for line, count in asked.items() if count > 1 and image.config.digest not in line} == {}
    assert len(list(open_stores(str(tmp_path / "root")).layers.all())) == 6


@pytest.mark.root
@pytest.mark.parametrize("driver", ["vfs", "overlay2"])
def test_a_full_disk_is_one_clear_message_and_the_space_is_back(
    registry: Callable[..., Registry], small_file_system: Any, client: RegistryClient, driver: str
) -> None:
    server = registry()
    noise = random.Random(1).randbytes(30 << 20)
    name = parse(server.upload(TestImage([LayerTar().file("a").bytes(), LayerTar().file("b", noise).bytes()]), "x"))
    root = os.path.join(small_file_system(24), "root")
    stores = open_stores(root, driver)
    before, free = content(root), os.statvfs(root).f_bavail
    with pytest.raises(NoSpace) as raised:
        pull(name, stores, client)
    assert str(raised.value)
    assert content(root) == before
    assert os.statvfs(root).f_bavail > free - 200


def test_what_a_killed_pull_left_of_a_blob_goes_with_the_next_prune(
    registry: Callable[..., Registry], tmp_path: Path, client_with: Any
) -> None:
    server = registry()
    image = TestImage([LayerTar().file("a").bytes()])
    stores = open_stores(str(tmp_path / "root"))
    pull(parse(server.upload(image, "x")), stores, client_with(keep_blobs=True))
    left = Path(stores.root.sub("lamina/blobs/sha256/.tmp-0000"))
    left.write_bytes(b"half")
    with originals.keeping_blob(stores.root, stores.images.get(stores.images.ids()[0]).config.diff_ids[0]) as file:
        originals.prune(stores)
        assert os.path.exists(file.name)
    assert not left.exists()

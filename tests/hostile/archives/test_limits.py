"""Archives made to exhaust: memory stays bounded, space comes back."""

from __future__ import annotations

import gzip
import json
import resource
from collections.abc import Callable
from pathlib import Path

import pytest

from lamina.distribution.load import load
from lamina.errors import Corrupt, NoSpace
from support.images import LayerTar, TestImage
from support.stores import content, open_stores


def test_too_many_entries(refused: Callable[..., str]) -> None:
    entry = LayerTar().file("x", "").bytes()[:512]
    header = bytearray(entry)
    blocks = []
    for number in range((1 << 16) + 2):
        header[:8] = b"%08d" % number
        header[148:156] = b" " * 8
        header[148:156] = b"%06o\0 " % sum(header)
        blocks.append(bytes(header))
    assert "more than 65536 files" in refused(Corrupt, b"".join(blocks))


def test_a_name_of_a_megabyte(refused: Callable[..., str]) -> None:
    assert "4096 bytes" in refused(Corrupt, LayerTar().file("n" * 900_000, "").bytes())


def test_a_link_target_of_a_megabyte(refused: Callable[..., str]) -> None:
    assert "4096 bytes" in refused(Corrupt, LayerTar().symlink("n", "t" * 900_000).bytes())


@pytest.mark.root
def test_a_compressed_bomb_fills_the_disk_with_one_clear_message_and_the_space_comes_back(
    small_file_system: Callable[..., str], tmp_path: Path
) -> None:
    root = small_file_system(24)
    stores = open_stores(f"{root}/root")
    image = TestImage([LayerTar().file("zeros", bytes(200 << 20)).bytes()])
    item = {"Config": "c.json", "RepoTags": ["a:b"], "Layers": ["l"]}
    tar = LayerTar().file("l", image.layers[0]).file("c.json", image.config.data)
    tar.file("manifest.json", json.dumps([item]))
    packed = tmp_path / "bomb.tar.gz"
    packed.write_bytes(gzip.compress(tar.bytes(), 1))
    before, memory = content(root), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(NoSpace):
        load(str(packed), stores)
    assert content(root) == before
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 50_000

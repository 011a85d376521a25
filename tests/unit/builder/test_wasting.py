"""What one layer has and a later one hides."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from lamina.builder.wasting import Made, Waste, find_waste
from lamina.digest import ChainID
from lamina.distribution.stores import Stores
from lamina.dockerfile.instructions import Location
from support.stores import open_stores

#: Name, content and mode of one entry; a name ending in a slash is a directory.
Entry = tuple[str, bytes, int]


@pytest.fixture
def stores(tmp_path: Path) -> Stores:
    return open_stores(str(tmp_path / "root"), "vfs")


def _stack(stores: Stores, *layers: Sequence[Entry]) -> list[ChainID]:
    with stores.layers.begin() as transaction:
        below = None
        for entries in layers:
            below = transaction.stage(below)
            below.fill_from(_tar(entries))
        return [layer.chain_id for layer in transaction.commit()]


def _tar(entries: Sequence[Entry]) -> io.BytesIO:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, data, mode in entries:
            member = tarfile.TarInfo(name.rstrip("/"))
            member.type = tarfile.DIRTYPE if name.endswith("/") else tarfile.REGTYPE
            member.size, member.mode = len(data), mode
            archive.addfile(member, io.BytesIO(data))
    stream.seek(0)
    return stream


def _waste(stores: Stores, *layers: Sequence[Entry], base: Sequence[Entry] | None = None) -> list[str]:
    """``removed 1>2 30 bytes 2 files``: the base image is line 0."""
    stack = _stack(stores, *([base] if base is not None else []), *layers)
    begun = stack.pop(0) if base is not None else None
    made = [Made(chain, Location("Dockerfile", line, line)) for line, chain in enumerate(stack, 1)]
    return [_text(one) for one in find_waste(stores.root, stores.layers, begun, made)]


def _text(one: Waste) -> str:
    added = one.added.line if one.added is not None else 0
    return f"{one.how} {added}>{one.hidden.line} {one.size} bytes {one.files} files"


def test_a_whiteout_hides_a_file_or_a_whole_directory(stores: Stores) -> None:
    found = _waste(
        stores,
        [("a", b"x" * 10, 0o644), ("d/", b"", 0o755), ("d/b", b"y" * 20, 0o644), ("d/c", b"z" * 30, 0o644)],
        [(".wh.a", b"", 0o644)],
        [(".wh.d", b"", 0o644)],
    )
    assert found == ["removed 1>3 50 bytes 2 files", "removed 1>2 10 bytes 1 files"]


def test_an_opaque_directory_hides_what_was_in_it_and_not_what_its_layer_has(stores: Stores) -> None:
    found = _waste(
        stores,
        [("d/", b"", 0o755), ("d/b", b"y" * 20, 0o644)],
        [("d/", b"", 0o755), ("d/.wh..wh..opq", b"", 0o644), ("d/new", b"n" * 5, 0o644)],
    )
    assert found == ["removed 1>2 20 bytes 1 files"]


def test_the_same_content_with_another_mode_is_told_from_other_content(stores: Stores) -> None:
    found = _waste(
        stores,
        [("a", b"x" * 10, 0o644), ("b", b"x" * 7, 0o644)],
        [("a", b"x" * 10, 0o600), ("b", b"y" * 7, 0o644)],
    )
    assert found == ["changed 1>2 10 bytes 1 files", "replaced 1>2 7 bytes 1 files"]


def test_what_the_base_image_has_counts_only_when_the_build_has_it_again(stores: Stores) -> None:
    base = [("gone", b"x" * 9, 0o644), ("other", b"x" * 8, 0o644), ("same", b"x" * 7, 0o644)]
    found = _waste(
        stores,
        [(".wh.gone", b"", 0o644), ("other", b"y" * 8, 0o644), ("same", b"x" * 7, 0o600)],
        base=base,
    )
    assert found == ["changed 0>1 7 bytes 1 files"]


def test_what_was_hidden_once_is_not_counted_again(stores: Stores) -> None:
    entry = ("a", b"x" * 10, 0o644)
    gone = (".wh.a", b"", 0o644)
    assert _waste(stores, [entry], [gone], [entry], [gone]) == [
        "removed 1>2 10 bytes 1 files",
        "removed 3>4 10 bytes 1 files",
    ]

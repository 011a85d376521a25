"""What differs between two images, told from their configurations and layers alone."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from lamina.builder.verifying import differences
from lamina.distribution.stores import Stores
from lamina.image.contract import Image
from support.stores import open_stores

_CHANGES = [
    ({"mode": 0o600}, "mode 0644 and 0600"),
    pytest.param({"uid": 5, "gid": 6}, "owner 0:0 and 5:6", marks=pytest.mark.root),
    ({"mtime": 7}, "time 1970-01-01T00:00:01Z and 1970-01-01T00:00:07Z"),
    ({"data": b"other"}, "content sha256:"),
    ({"data": b"longer text"}, "size 5 and 11"),
    ({"type": tarfile.SYMTYPE, "linkname": "x", "data": b""}, "a file and a symbolic link"),
]


@pytest.fixture
def stores(tmp_path: Path) -> Stores:
    return open_stores(str(tmp_path / "root"), "vfs")


def _image(stores: Stores, **change: Any) -> Image:
    """An image with one layer, which has one file."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
        data = change.pop("data", b"first")
        member = tarfile.TarInfo("d/file")
        member.size, member.mtime, member.mode = len(data), 1, 0o644
        for name, value in change.items():
            setattr(member, name, value)
        archive.addfile(member, io.BytesIO(data))
    stream.seek(0)
    with stores.layers.begin() as transaction:
        transaction.stage(None).fill_from(stream)
        (layer,) = transaction.commit()
        history = [{"created_by": "/bin/sh -c make"}]
        rootfs = {"type": "layers", "diff_ids": [layer.diff_id]}
        document = {"architecture": "amd64", "os": "linux", "config": {}, "rootfs": rootfs, "history": history}
        return stores.images.create(json.dumps(document).encode())


@pytest.mark.parametrize(("change", "expected"), _CHANGES)
def test_a_file_that_is_another_is_told_with_what_is_another(
    stores: Stores, change: dict[str, Any], expected: str
) -> None:
    found = [str(one) for one in differences(_image(stores), _image(stores, **change), stores.layers)]
    assert [text for text in found if text.startswith(f"layer 1 (make): /d/file: {expected}")] == found


def test_an_image_does_not_differ_from_itself(stores: Stores) -> None:
    assert not differences(_image(stores), _image(stores), stores.layers)

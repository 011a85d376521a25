"""Root file systems become images."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path

import pytest

from lamina.distribution.archive import NoSuchArchive
from lamina.distribution.importing import import_image
from lamina.distribution.stores import Stores
from lamina.dockerfile.words import InvalidInstruction
from lamina.errors import Corrupt, InvalidArgument
from lamina.oci.platform import Platform
from lamina.progress import Event
from lamina.reference import parse, parse_tagged
from support.images import LayerTar, sha256

_TAR = LayerTar().directory("etc").file("etc/hostname", "here").bytes()


def test_a_tar_becomes_an_image_of_one_layer(stores: Stores) -> None:
    image_id = import_image(
        io.BytesIO(_TAR),
        stores,
        reference=parse("imported"),
        changes=['CMD ["sh"]', "ENV A=1"],
        message="from a test",
        platform=Platform("linux", "arm64"),
    )
    image = stores.images.get(image_id)
    document = json.loads(image.config.raw)
    assert document["rootfs"] == {"type": "layers", "diff_ids": [sha256(_TAR)]}
    assert list(document) == sorted(document)
    assert document["architecture"] == "arm64"
    assert document["comment"] == "from a test"
    assert document["history"] == [{"created": document["created"], "comment": "from a test"}]
    assert document["config"]["Cmd"] == ["sh"]
    assert document["config"]["Env"] == ["A=1"]
    assert stores.images.references.get(parse_tagged("imported")) == image_id
    assert b"".join(stores.layers.tar(stores.layers.stack(image.config.chain_id)[0])) == _TAR


def test_a_compressed_file_is_imported_and_says_where_it_came_from(stores: Stores, tmp_path: Path) -> None:
    (tmp_path / "root.tar.gz").write_bytes(gzip.compress(_TAR))
    events: list[Event] = []
    image = stores.images.get(import_image(str(tmp_path / "root.tar.gz"), stores, report=events.append))
    assert image.config.diff_ids == [sha256(_TAR)]
    assert json.loads(image.config.raw)["comment"] == "Imported from -"
    assert stores.images.references.of(image.id) == []
    assert events[-1].current == (tmp_path / "root.tar.gz").stat().st_size


def test_nothing_is_read_when_a_change_or_a_name_is_malformed(stores: Stores) -> None:
    stream = io.BytesIO(_TAR)
    with pytest.raises(InvalidInstruction):
        import_image(stream, stores, changes=["RUN x"])
    with pytest.raises(InvalidArgument, match="cannot import digest reference"):
        import_image(stream, stores, reference=parse("name@" + sha256(b"")))
    assert stream.tell() == 0


def test_a_broken_tar_leaves_nothing(stores: Stores) -> None:
    with pytest.raises(Corrupt):
        import_image(io.BytesIO(b"x" * 10_000), stores)
    assert stores.images.ids() == []
    assert list(stores.layers.all()) == []


def test_a_missing_file_is_named(stores: Stores) -> None:
    with pytest.raises(NoSuchArchive, match="open /nothing: no such file or directory"):
        import_image("/nothing", stores)

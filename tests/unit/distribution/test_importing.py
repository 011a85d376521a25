"""Root file systems become images."""

from __future__ import annotations

import gzip
import io
import json
import time
from collections.abc import Iterator
from datetime import datetime
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from lamina.distribution.archive import NoSuchArchive
from lamina.distribution.importing import DownloadFailed, import_image
from lamina.distribution.stores import Stores
from lamina.dockerfile.failure import InvalidInstruction
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


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """The URL of a server that has ``/root.tar`` and nothing else."""
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "root.tar").write_bytes(_TAR)
    handler = partial(_Quiet, directory=str(tmp_path / "www"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


def test_a_url_is_downloaded(stores: Stores, server: str) -> None:
    image = stores.images.get(import_image(f"{server}/root.tar", stores))
    assert image.config.diff_ids == [sha256(_TAR)]
    assert json.loads(image.config.raw)["comment"] == f"Imported from {server}/root.tar"


def test_a_url_that_has_nothing_is_refused(stores: Stores, server: str) -> None:
    with pytest.raises(DownloadFailed, match="with status 404 Not Found: "):
        import_image(f"{server}/nothing", stores)
    assert stores.images.ids() == []


def test_naming_an_import_is_tagging_it(stores: Stores) -> None:
    before = time.time()
    named = stores.images.get(import_image(io.BytesIO(_TAR), stores, reference=parse("imported")))
    assert before - 1 <= datetime.fromisoformat(named.last_updated).timestamp() <= time.time()

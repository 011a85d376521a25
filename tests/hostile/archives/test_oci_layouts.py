"""OCI layouts made to harm, as archives and as directories."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lamina.distribution.load import load
from lamina.distribution.stores import Stores
from lamina.errors import Corrupt, LaminaError, NotFound, Unsupported
from support.images import INDEX_TYPE, TestImage, sha256
from support.stores import content

Files = dict[str, bytes]


def _blob(data: bytes) -> Files:
    return {"blobs/" + sha256(data).replace(":", "/"): data}


def _index(*entries: dict[str, Any], **members: Any) -> Files:
    return {"index.json": json.dumps({"schemaVersion": 2, "manifests": list(entries), **members}).encode()}


def _entry(manifest: bytes, image: TestImage, **members: Any) -> dict[str, Any]:
    return {
        "mediaType": image.manifest_media_type,
        "digest": sha256(manifest),
        "size": len(manifest),
        **members,
    }


def _with_manifest(image: TestImage, **members: Any) -> Files:
    """A layout whose manifest has other members than ``image``'s."""
    manifest = json.dumps({**json.loads(image.manifest), **members}).encode()
    return {**image.oci_files(), **_blob(manifest), **_index(_entry(manifest, image))}


@pytest.mark.parametrize(
    "digest",
    [
        "",
        "sha256:../../../etc/passwd",
        "sha256:" + "0" * 63,
        "md5:" + "0" * 32,
        "SHA256:" + "0" * 64,
        "sha256:" + "G" * 64,
    ],
)
def test_a_malformed_digest(refused: Callable[..., str], image: TestImage, digest: str) -> None:
    # CVE-2021-21285, CVE-2024-3727
    refused(Corrupt, {**image.oci_files(), **_index(_entry(image.manifest, image, digest=digest))})
    layer = {**image.layer_blobs[0].descriptor(), "digest": digest}
    refused(Corrupt, _with_manifest(image, layers=[layer, layer]))


@pytest.mark.parametrize("size", [-1, 0, 1 << 60, "7", None, 1.5, True])
def test_a_size_that_is_not_the_blobs(refused: Callable[..., str], image: TestImage, size: Any) -> None:
    refused(Corrupt, {**image.oci_files(), **_index(_entry(image.manifest, image, size=size))})
    layers = [{**blob.descriptor(), "size": size} for blob in image.layer_blobs]
    refused(Corrupt, _with_manifest(image, layers=layers))


def test_a_layer_blob_that_was_changed(refused: Callable[..., str], image: TestImage) -> None:
    files = image.oci_files()
    name = "blobs/" + image.layer_blobs[1].digest.replace(":", "/")
    data = bytearray(files[name])
    data[4] ^= 1  # the time in the gzip header: the tar inside stays the same, so only the blob's digest can tell
    files[name] = bytes(data)
    assert "content has digest" in refused(Corrupt, files)


def test_an_index_that_contains_itself_by_depth(refused: Callable[..., str], image: TestImage) -> None:
    files = image.oci_files()
    inner = image.manifest
    kind = image.manifest_media_type
    for _ in range(8):
        entry = {"mediaType": kind, "digest": sha256(inner), "size": len(inner)}
        inner = json.dumps({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [entry]}).encode()
        kind = INDEX_TYPE
        files |= _blob(inner)
    files |= _index({"mediaType": kind, "digest": sha256(inner), "size": len(inner)})
    assert "nested too deeply" in refused(Corrupt, files)


def test_a_foreign_layer_is_not_fetched(refused: Callable[..., str], image: TestImage) -> None:
    # CVE-2020-15157
    foreign = {
        **image.layer_blobs[0].descriptor(),
        "mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        "urls": ["http://169.254.169.254/latest"],
    }
    assert "foreign" in refused(Unsupported, _with_manifest(image, layers=[foreign, foreign]))


def test_an_artifact_that_is_no_image(refused: Callable[..., str], image: TestImage) -> None:
    config = {**image.config.descriptor(), "mediaType": "application/vnd.cncf.helm.config.v1+json"}
    assert "not a container image" in refused(Unsupported, _with_manifest(image, config=config))


def test_ten_thousand_layers(refused: Callable[..., str], image: TestImage) -> None:
    assert "limit" in refused(Corrupt, _with_manifest(image, layers=[image.layer_blobs[0].descriptor()] * 10_000))


def test_ten_thousand_entries(refused: Callable[..., str], image: TestImage) -> None:
    assert "limit" in refused(Corrupt, {**image.oci_files(), **_index(*[_entry(image.manifest, image)] * 10_000)})


def test_no_image_for_this_platform(refused: Callable[..., str], image: TestImage) -> None:
    entries = [
        _entry(image.manifest, image, platform={"os": "linux", "architecture": name}) for name in ("s390x", "mips")
    ]
    assert "no matching manifest" in refused(NotFound, {**image.oci_files(), **_index(*entries)})


@pytest.fixture
def refused_directory(stores: Stores, tmp_path: Path) -> Callable[[type[LaminaError], str], str]:
    def run(kind: type[LaminaError], path: str) -> str:
        before = content(str(tmp_path))
        with pytest.raises(kind) as caught:
            load(path, stores)
        assert content(str(tmp_path)) == before
        return str(caught.value)

    return run


@pytest.mark.parametrize("target", ["/etc/passwd", "../../../outside", "/proc/self/exe"])
def test_a_blob_that_links_out_of_the_directory(
    image: TestImage, tmp_path: Path, refused_directory: Callable[..., str], target: str
) -> None:
    layout = tmp_path / "layout"
    image.oci_layout(str(layout))
    (tmp_path / "outside").write_bytes(image.layer_blobs[1].data)
    blob = layout / "blobs" / image.layer_blobs[1].digest.replace(":", "/")
    blob.unlink()
    blob.symlink_to(target)
    assert "link out of" in refused_directory(Corrupt, str(layout))


def test_a_blob_that_is_a_pipe_does_not_block(
    image: TestImage, tmp_path: Path, refused_directory: Callable[..., str]
) -> None:
    layout = tmp_path / "layout"
    image.oci_layout(str(layout))
    blob = layout / "blobs" / image.layer_blobs[1].digest.replace(":", "/")
    blob.unlink()
    os.mkfifo(blob)
    assert "not a regular file" in refused_directory(Corrupt, str(layout))

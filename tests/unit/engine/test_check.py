"""The check of a whole root: what stands on the image store, and what is kept beside it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lamina import Engine
from lamina.distribution import originals
from lamina.oci import manifest as manifests
from support.images import LayerTar, TestImage

IMAGE = TestImage([LayerTar().file("a", "b").bytes()])


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    """An engine with the image ``small:1``, whose manifest and blob are kept."""
    if os.geteuid() != 0:
        pytest.skip("needs root: layers keep their owners")
    engine = Engine(str(tmp_path / "root"), storage_driver="vfs")
    engine.images.load(IMAGE.docker_archive(str(tmp_path / "small.tar"), "small:1")).result()
    manifest = manifests.parse(IMAGE.manifest, IMAGE.manifest_media_type, "")
    assert isinstance(manifest, manifests.Manifest)
    originals.keep_manifest(engine.root, engine.images.get("small:1").id, manifest)
    with originals.keeping_blob(engine.root, manifest.layers[0].digest) as file:
        file.write(IMAGE.layer_blobs[0].data)
    return engine


def findings(engine: Engine, *, repair: bool = False) -> list[str]:
    found = engine.check(repair=repair).findings
    return [f"{os.path.relpath(finding.path, engine.root.path)}: {finding.what}" for finding in found]


def test_a_healthy_root_is_clean(engine: Engine) -> None:
    assert findings(engine) == []


def test_manifests_and_blobs_go_with_their_image(engine: Engine) -> None:
    image = engine.images.get("small:1")
    engine.image_store.references.remove(engine.image_store.references.of(image.id)[0])
    engine.image_store.delete(image.id)
    kept = {f"lamina/manifests/{image.id.hex}", f"lamina/blobs/sha256/{IMAGE.layer_blobs[0].digest[7:]}"}
    assert kept <= {finding.partition(":")[0] for finding in findings(engine)}
    assert engine.check(repair=True).is_clean
    assert findings(engine) == []
    assert not any(os.path.exists(engine.root.sub(path)) for path in kept)


def test_a_blob_that_a_killed_pull_left_is_found(engine: Engine) -> None:
    path = engine.root.sub("lamina/blobs/sha256/.tmp-1234.12345678")
    with open(path, "w"):
        pass
    assert len(findings(engine)) == 1
    assert engine.check(repair=True).is_clean
    assert not os.path.exists(path)


def test_a_run_directory_of_nobody_is_found(engine: Engine) -> None:
    os.makedirs(engine.root.sub("lamina/run", "a" * 64))
    assert findings(engine) == [f"lamina/run/{'a' * 64}: left by a monitor that died"]
    assert engine.check(repair=True).is_clean
    assert not os.path.exists(engine.root.sub("lamina/run", "a" * 64))


def test_a_run_directory_with_a_monitor_is_left_alone(engine: Engine) -> None:
    lock = engine.container_service.parts.run_directory("a" * 64).claim()
    try:
        assert findings(engine, repair=True) == []
    finally:
        os.close(lock)

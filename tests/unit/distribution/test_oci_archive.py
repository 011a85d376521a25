"""What an OCI layout says it holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lamina.digest import DigestMismatch
from lamina.distribution import oci_archive
from lamina.distribution.archive import open_archive
from lamina.distribution.archived import ArchivedImage
from lamina.distribution.content import InvalidArchive
from lamina.errors import Corrupt, Unsupported
from lamina.oci.platform import Platform
from support.images import INDEX_TYPE, LayerTar, TestImage, sha256, write_tar

_AMD64 = Platform("linux", "amd64")


def _image(content: str = "x", **options: Any) -> TestImage:
    return TestImage([LayerTar().file("file", content).bytes()], **options)


def _descriptor(image: TestImage, **members: Any) -> dict[str, Any]:
    head = {"mediaType": image.manifest_media_type, "digest": image.manifest_digest, "size": len(image.manifest)}
    return {**head, **members}


def _platform(image: TestImage, architecture: str, **members: Any) -> dict[str, Any]:
    return _descriptor(image, platform={"os": "linux", "architecture": architecture}, **members)


def _layout(tmp_path: Path, entries: list[dict[str, Any]], *images: TestImage, **extra: bytes) -> str:
    files: dict[str, bytes] = {}
    for image in images:
        files |= image.oci_files()
    files["index.json"] = json.dumps({"schemaVersion": 2, "manifests": entries}).encode()
    return write_tar(str(tmp_path / "layout.tar"), {**files, **extra})


def _read(path: str, wanted: Platform = _AMD64, *, strict: bool = False) -> list[ArchivedImage]:
    with open_archive(path, "/nowhere") as archive:
        return oci_archive.read(archive, wanted, strict=strict)


def _names(images: list[ArchivedImage]) -> list[list[str]]:
    return [[reference.familiar for reference in image.references] for image in images]


@pytest.mark.parametrize(
    ("annotations", "expected"),
    [
        ({"org.opencontainers.image.ref.name": "busybox:1.36"}, ["busybox:1.36"]),
        ({"org.opencontainers.image.ref.name": "latest"}, []),
        ({"org.opencontainers.image.ref.name": "localhost/name"}, ["localhost/name:latest"]),
        (
            {"org.opencontainers.image.ref.name": "v1", "io.containerd.image.name": "docker.io/library/app:v1"},
            ["app:v1"],
        ),
        ({"org.opencontainers.image.ref.name": "team/UPPER:x"}, []),
        ({}, []),
    ],
)
def test_names_come_from_the_annotations(tmp_path: Path, annotations: dict[str, str], expected: list[str]) -> None:
    image = _image()
    path = _layout(tmp_path, [_descriptor(image, annotations=annotations)], image)
    assert _names(_read(path)) == [expected]


def test_two_names_of_one_image_give_one_image(tmp_path: Path) -> None:
    image = _image()
    key = "org.opencontainers.image.ref.name"
    entries = [_descriptor(image, annotations={key: name}) for name in ("a:1", "b:2")]
    assert _names(_read(_layout(tmp_path, entries, image))) == [["a:1", "b:2"]]


def test_of_several_platforms_the_wanted_one_is_taken(tmp_path: Path) -> None:
    intel, arm = _image("intel"), _image("arm", architecture="arm64")
    path = _layout(tmp_path, [_platform(intel, "amd64"), _platform(arm, "arm64")], intel, arm)
    assert [str(image.config.id) for image in _read(path)] == [intel.image_id]
    assert [str(image.config.id) for image in _read(path, Platform("linux", "arm64"))] == [arm.image_id]
    with pytest.raises(oci_archive.NoMatchingPlatform, match="linux/s390x"):
        _read(path, Platform("linux", "s390x"))


def test_a_nested_index_is_followed(tmp_path: Path) -> None:
    intel, arm = _image("intel"), _image("arm", architecture="arm64")
    inner = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": INDEX_TYPE,
            "manifests": [_platform(intel, "amd64"), _platform(arm, "arm64")],
        }
    ).encode()
    entry = {"mediaType": INDEX_TYPE, "digest": sha256(inner), "size": len(inner)}
    blob = {"blobs/" + sha256(inner).replace(":", "/"): inner}
    path = _layout(tmp_path, [entry], intel, arm, **blob)
    assert [str(image.config.id) for image in _read(path)] == [intel.image_id]


def test_the_only_image_is_taken_whatever_its_platform_unless_another_was_asked_for(tmp_path: Path) -> None:
    arm = _image(architecture="arm64")
    path = _layout(tmp_path, [_platform(arm, "arm64")], arm)
    assert len(_read(path)) == 1
    with pytest.raises(oci_archive.NoMatchingPlatform):
        _read(path, strict=True)


def test_attestations_are_no_images(tmp_path: Path) -> None:
    image, attestation = _image(), _image("attestation")
    unknown = _descriptor(attestation, platform={"os": "unknown", "architecture": "unknown"})
    path = _layout(tmp_path, [_platform(image, "amd64"), unknown], image, attestation)
    assert [str(one.config.id) for one in _read(path)] == [image.image_id]


def test_images_without_platform_and_name_are_all_taken(tmp_path: Path) -> None:
    one, two = _image("one"), _image("two")
    path = _layout(tmp_path, [_descriptor(one), _descriptor(two)], one, two)
    assert {str(image.config.id) for image in _read(path)} == {one.image_id, two.image_id}


@pytest.mark.parametrize("which", ["manifest", "config"])
def test_a_changed_document_is_refused(tmp_path: Path, which: str) -> None:
    image = _image()
    data = image.manifest if which == "manifest" else image.config.data
    name = "blobs/" + sha256(data).replace(":", "/")
    path = _layout(tmp_path, [_descriptor(image)], image, **{name: data.replace(b"linux", b"limux")[::-1]})
    with pytest.raises(DigestMismatch):
        _read(path)


def test_a_wrong_size_is_refused(tmp_path: Path) -> None:
    image = _image()
    path = _layout(tmp_path, [_descriptor(image, size=len(image.manifest) - 1)], image)
    with pytest.raises(InvalidArchive, match="its descriptor says"):
        _read(path)


def test_an_index_that_is_a_manifest_too_is_refused(tmp_path: Path) -> None:
    image = _image()
    both = json.dumps({**json.loads(image.manifest), "manifests": []}).encode()
    entry = {"mediaType": image.manifest_media_type, "digest": sha256(both), "size": len(both)}
    path = _layout(tmp_path, [entry], image, **{"blobs/" + sha256(both).replace(":", "/"): both})
    with pytest.raises(Corrupt, match="same time"):
        _read(path)


def test_fewer_layers_than_diff_ids_are_refused(tmp_path: Path) -> None:
    image = _image()
    manifest = json.dumps({**json.loads(image.manifest), "layers": []}).encode()
    entry = {"mediaType": image.manifest_media_type, "digest": sha256(manifest), "size": len(manifest)}
    path = _layout(tmp_path, [entry], image, **{"blobs/" + sha256(manifest).replace(":", "/"): manifest})
    with pytest.raises(InvalidArchive, match="layers length mismatch: expected 1, got 0"):
        _read(path)


def test_a_layout_of_another_version_is_refused(tmp_path: Path) -> None:
    image = _image()
    path = _layout(tmp_path, [_descriptor(image)], image, **{"oci-layout": b'{"imageLayoutVersion": "2.0.0"}'})
    with pytest.raises(Unsupported, match=r"2\.0\.0"):
        _read(path)

"""Manifests, indexes and configurations: what is accepted, what is refused, and why."""

import json
from typing import Any

import pytest

from lamina.digest import DiffID, Digest
from lamina.errors import Unsupported
from lamina.oci import image, manifest, mediatype
from lamina.oci.descriptor import Descriptor
from lamina.oci.document import InvalidDocument
from lamina.oci.platform import Platform, from_text, normalise

DIGEST = str(Digest.of(b"x"))
CONFIG = {"mediaType": mediatype.OCI_CONFIG, "digest": DIGEST, "size": 1}


def encode(**members: Any) -> bytes:
    return json.dumps({"schemaVersion": 2, **members}).encode()


def config(**members: Any) -> bytes:
    return json.dumps(
        {"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": []}, **members}
    ).encode()


def test_a_manifest_that_we_build_reads_back_equal() -> None:
    descriptor = Descriptor(mediatype.DOCKER_CONFIG, Digest.of(b"c"), 7)
    layer = Descriptor(mediatype.DOCKER_LAYER_GZIP, Digest.of(b"l"), 9)
    built = manifest.build(descriptor, [layer])
    parsed = manifest.parse(built.raw, mediatype.DOCKER_MANIFEST, "it")
    assert parsed == built
    assert built.raw.startswith(b'{\n   "schemaVersion": 2,\n   "mediaType"')


@pytest.mark.parametrize(
    ("raw", "media_type", "message"),
    [
        (encode(config=CONFIG, layers=[], manifests=[]), "", "a manifest and an index at the same time"),
        (encode(mediaType=mediatype.OCI_INDEX, config=CONFIG, layers=[]), mediatype.OCI_MANIFEST, "inside and"),
        (encode(mediaType=mediatype.OCI_INDEX, config=CONFIG, layers=[]), "", "an index without manifests"),
        (encode(mediaType=mediatype.OCI_MANIFEST, manifests=[]), "", "with a list of manifests"),
        (encode(config={**CONFIG, "size": -1}, layers=[]), "", "size -1"),
        (encode(config={**CONFIG, "size": True}, layers=[]), "", "'size' is not a int"),
        (encode(config={**CONFIG, "size": 1 << 60}, layers=[]), "", "descriptor has size"),
        (encode(config={**CONFIG, "digest": "sha256:../../x"}, layers=[]), "", "invalid checksum digest"),
        (encode(config=CONFIG, layers=["x"]), "", "a descriptor is not an object"),
        (encode(config=CONFIG, layers=[CONFIG] * 10_000), "", "more than the limit"),
        (encode(config=CONFIG, layers={}), "", "'layers' is not a list"),
        (b'{"schemaVersion": 3}', "", "schemaVersion is 3"),
        (b"[]", "", "not a JSON object"),
        (b"", "", "Expecting value"),
        (b'{"a": NaN}', "", "NaN is not JSON"),
        (b'{"a": 1, "a": 2}', "", "the same key twice"),
        (b'{"a": "\\ud800"}', "", "surrogates not allowed"),
        (b'{"a": "\xff"}', "", "codec can't decode"),
        (b"[" * 100_000, "", "nested too deeply"),
        (b" " * (5 << 20), "", "more than the limit"),
    ],
)
def test_a_malformed_manifest_is_refused_with_its_reason(raw: bytes, media_type: str, message: str) -> None:
    with pytest.raises(InvalidDocument) as caught:
        manifest.parse(raw, media_type, "manifest of x")
    assert message in str(caught.value)
    assert str(caught.value).startswith("manifest of x: ")


@pytest.mark.parametrize(
    "raw",
    [
        json.dumps({"schemaVersion": 1, "fsLayers": []}).encode(),
        encode(config={**CONFIG, "mediaType": "application/vnd.cncf.helm.config.v1+json"}, layers=[]),
        encode(mediaType="application/x-other"),
    ],
)
def test_what_is_no_image_of_today_is_unsupported(raw: bytes) -> None:
    with pytest.raises(Unsupported):
        manifest.parse(raw, "", "it")


def index(*platforms: str | None) -> manifest.Index:
    entries = []
    for number, text in enumerate(platforms):
        entry: dict[str, Any] = {
            "mediaType": mediatype.OCI_MANIFEST,
            "digest": str(Digest.of(b"%d" % number)),
            "size": 1,
        }
        if text is not None:
            entry["platform"] = from_text(text).to_json()
        entries.append(entry)
    parsed = manifest.parse(encode(manifests=entries), mediatype.OCI_INDEX, "index")
    assert isinstance(parsed, manifest.Index)
    return parsed


@pytest.mark.parametrize(
    ("offers", "wanted", "chosen"),
    [
        (["linux/arm64", "linux/amd64"], "linux/amd64", 1),
        (["linux/amd64", "linux/arm/v5", "linux/arm/v7"], "linux/arm/v7", 2),
        (["linux/arm/v6", "linux/arm/v5"], "linux/arm/v7", 0),
        (["linux/arm/v7"], "linux/arm64", 0),
        (["linux/arm64/v8"], "linux/arm64", 0),
        (["linux/amd64", "linux/amd64"], "linux/amd64", 0),
        (["windows/amd64"], "linux/amd64", None),
        (["linux/arm64"], "linux/amd64", None),
        ([None], "linux/amd64", 0),
        ([None, "linux/arm64"], "linux/amd64", None),
        ([], "linux/amd64", None),
    ],
)
def test_the_best_platform_is_chosen(offers: list[str | None], wanted: str, chosen: int | None) -> None:
    entry = index(*offers).choose(from_text(wanted))
    assert (entry.digest if entry else None) == (Digest.of(b"%d" % chosen) if chosen is not None else None)


def test_platform_names_are_normalised() -> None:
    assert normalise(Platform("Linux", "x86_64")) == Platform("linux", "amd64")
    assert normalise(Platform("linux", "aarch64", "v8")) == Platform("linux", "arm64")
    assert normalise(Platform("linux", "armhf")) == Platform("linux", "arm", "v7")
    assert normalise(Platform("linux", "armv6l")) == Platform("linux", "arm", "v6")
    assert str(from_text("linux/arm/6")) == "linux/arm/v6"


def test_a_configuration_keeps_its_raw_bytes() -> None:
    raw = config(created="2020-01-01T00:00:00Z", config={"Env": ["A=b"]}).replace(b", ", b" ,\n")
    parsed = image.parse(raw)
    assert parsed.raw == raw
    assert parsed.id == Digest.of(raw)
    assert parsed.config == {"Env": ["A=b"]}
    assert parsed.chain_id is None


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"{}", "no RootFS key"),
        (config(rootfs={"type": "magic"}), "unknown rootfs type"),
        (config(rootfs={"type": "layers", "diff_ids": ["sha256:zz"]}), "diff_ids"),
        (config(rootfs={"type": "layers", "diff_ids": [3]}), "diff_ids"),
        (config(history=[{"created_by": "x"}]), "history names 1 layers, rootfs has 0"),
        (config(history=["x"]), "not an object"),
        (config(config={"Env": ["A=b", 3]}), "not a string"),
        (config(config={"Volumes": []}), "'Volumes' is not a dict"),
        (config(created=5), "'created' is not a str"),
    ],
)
def test_a_malformed_configuration_is_refused_with_its_reason(raw: bytes, message: str) -> None:
    with pytest.raises(InvalidDocument) as caught:
        image.parse(raw)
    assert message in str(caught.value)


def test_history_may_be_shorter_than_the_layers() -> None:
    diff_ids = [str(DiffID.of(b"a")), str(DiffID.of(b"b"))]
    parsed = image.parse(config(rootfs={"type": "layers", "diff_ids": diff_ids}, history=[{"created_by": "one"}]))
    assert [entry.created_by for entry in parsed.history] == ["one"]
    assert len(parsed.diff_ids) == 2

"""Test images, made by the standard library alone: layer tars, Docker archives, OCI layouts.

What is made here is the same every time it is made: times are fixed, names are sorted by the caller.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"
DOCKER_CONFIG_TYPE = "application/vnd.docker.container.image.v1+json"
DOCKER_MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LAYER_TYPE = "application/vnd.docker.image.rootfs.diff.tar"

#: Modification time of everything: 2020-09-13T12:26:40Z.
EPOCH = 1_600_000_000

#: busybox's programs that tests run.
_APPLETS = """
    cat chmod chown cp dd df echo env false find grep head hostname id kill ln ls mkdir mknod mount mv nc ps pwd rm
    rmdir sed sh sleep stat sync tail tar test top touch true tty umask vi wc wget whoami
""".split()  # noqa: SIM905 - a list of forty quoted names reads worse

_BUSYBOX_PLACES = ("/bin/busybox", "/usr/bin/busybox")


def sha256(data: bytes) -> str:
    """``sha256:...`` of ``data``."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Blob(NamedTuple):
    """Bytes as they travel."""

    media_type: str
    data: bytes

    @property
    def digest(self) -> str:
        return sha256(self.data)

    def descriptor(self) -> dict[str, Any]:
        """As it stands in a manifest."""
        return {"mediaType": self.media_type, "digest": self.digest, "size": len(self.data)}


class LayerTar:
    """Builds one layer's tar. Every method adds one entry and returns the builder, so that calls can be chained."""

    def __init__(self) -> None:
        self._buffer = io.BytesIO()
        self._tar = tarfile.TarFile(fileobj=self._buffer, mode="w", format=tarfile.PAX_FORMAT)

    def add(self, name: str, type: bytes, data: bytes = b"", **fields: Any) -> LayerTar:
        """One entry of any type; ``fields`` are attributes of :class:`tarfile.TarInfo`."""
        entry = tarfile.TarInfo(name)
        entry.type, entry.size, entry.mtime = type, len(data), EPOCH
        for field, value in fields.items():
            setattr(entry, field, value)
        self._tar.addfile(entry, io.BytesIO(data))
        return self

    def file(self, name: str, data: bytes | str = b"", mode: int = 0o644, **fields: Any) -> LayerTar:
        content = data.encode() if isinstance(data, str) else data
        return self.add(name, tarfile.REGTYPE, content, mode=mode, **fields)

    def directory(self, name: str, mode: int = 0o755, **fields: Any) -> LayerTar:
        return self.add(name, tarfile.DIRTYPE, mode=mode, **fields)

    def symlink(self, name: str, target: str, **fields: Any) -> LayerTar:
        return self.add(name, tarfile.SYMTYPE, linkname=target, mode=0o777, **fields)

    def hardlink(self, name: str, target: str, **fields: Any) -> LayerTar:
        return self.add(name, tarfile.LNKTYPE, linkname=target, **fields)

    def device(self, name: str, major: int, minor: int, mode: int = 0o600, **fields: Any) -> LayerTar:
        return self.add(name, tarfile.CHRTYPE, devmajor=major, devminor=minor, mode=mode, **fields)

    def fifo(self, name: str, mode: int = 0o600, **fields: Any) -> LayerTar:
        return self.add(name, tarfile.FIFOTYPE, mode=mode, **fields)

    def whiteout(self, name: str) -> LayerTar:
        """Hide ``name`` of the layers below."""
        parent, base = os.path.split(name)
        return self.file(os.path.join(parent, ".wh." + base))

    def opaque(self, directory: str) -> LayerTar:
        """Hide what the layers below have in ``directory``."""
        return self.file(os.path.join(directory, ".wh..wh..opq"))

    def bytes(self) -> bytes:
        """The finished tar."""
        self._tar.close()
        return self._buffer.getvalue()


class TestImage:
    """One image in memory: a configuration and the tars of its layers, bottom first.

    :param compress: ``"gzip"`` or ``"none"``: how layers travel in a registry or an OCI layout.
    :param docker: media types of Docker's schema 2 instead of OCI's.
    :param config: keys of the image configuration's ``config`` (``Cmd``, ``Env``, ...).
    """

    __test__ = False  # the name begins with Test, but this is no test class

    def __init__(
        self,
        layers: Sequence[bytes],
        *,
        config: dict[str, Any] | None = None,
        history: Sequence[dict[str, Any]] | None = None,
        compress: str = "gzip",
        docker: bool = False,
        architecture: str = "amd64",
    ) -> None:
        self.layers = list(layers)
        self.diff_ids = [sha256(layer) for layer in layers]
        lines = [
            {"created": "2020-09-13T12:26:40Z", "created_by": f"/bin/sh -c #(nop) ADD layer {number} in / "}
            for number in range(len(layers))
        ]
        document = {
            "created": "2020-09-13T12:26:40Z",
            "architecture": architecture,
            "os": "linux",
            "config": config or {},
            "rootfs": {"type": "layers", "diff_ids": self.diff_ids},
            "history": lines if history is None else list(history),
        }
        self.config = Blob(DOCKER_CONFIG_TYPE if docker else CONFIG_TYPE, json.dumps(document).encode())
        self.image_id = self.config.digest
        layer_type = DOCKER_LAYER_TYPE if docker else LAYER_TYPE
        if compress == "gzip":
            suffix = ".gzip" if docker else "+gzip"
            self.layer_blobs = [Blob(layer_type + suffix, gzip.compress(layer, 6, mtime=0)) for layer in layers]
        else:
            self.layer_blobs = [Blob(layer_type, layer) for layer in layers]
        self.manifest_media_type = DOCKER_MANIFEST_TYPE if docker else MANIFEST_TYPE
        self.manifest = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": self.manifest_media_type,
                "config": self.config.descriptor(),
                "layers": [blob.descriptor() for blob in self.layer_blobs],
            }
        ).encode()
        self.manifest_digest = sha256(self.manifest)

    @property
    def chain_ids(self) -> list[str]:
        """ChainID of the stack that ends with each layer, bottom first."""
        chain: list[str] = []
        for diff_id in self.diff_ids:
            chain.append(sha256(f"{chain[-1]} {diff_id}".encode()) if chain else diff_id)
        return chain

    def blobs(self) -> Iterator[Blob]:
        """Configuration and layers, each digest once."""
        yield from {blob.digest: blob for blob in (self.config, *self.layer_blobs)}.values()

    def docker_archive(self, path: str, *names: str) -> str:
        """Write what ``docker save`` would: ``manifest.json``, a configuration and plain layer tars; the path."""
        paths = [f"{diff_id.removeprefix('sha256:')}/layer.tar" for diff_id in self.diff_ids]
        config_path = self.image_id.removeprefix("sha256:") + ".json"
        manifest = [{"Config": config_path, "RepoTags": list(names) or None, "Layers": paths}]
        files = dict(zip(paths, self.layers, strict=True))
        files |= {config_path: self.config.data, "manifest.json": json.dumps(manifest).encode()}
        return write_tar(path, files)

    def oci_files(self, *names: str) -> dict[str, bytes]:
        """The files of an OCI layout; ``names`` go into ``org.opencontainers.image.ref.name``."""
        descriptor = {
            "mediaType": self.manifest_media_type,
            "digest": self.manifest_digest,
            "size": len(self.manifest),
            "platform": {"architecture": json.loads(self.config.data)["architecture"], "os": "linux"},
        }
        entries = [{**descriptor, "annotations": {"org.opencontainers.image.ref.name": name}} for name in names]
        index = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": entries or [descriptor]}
        files = {"oci-layout": b'{"imageLayoutVersion": "1.0.0"}', "index.json": json.dumps(index).encode()}
        for blob in (*self.blobs(), Blob(self.manifest_media_type, self.manifest)):
            files["blobs/" + blob.digest.replace(":", "/")] = blob.data
        return files

    def oci_layout(self, directory: str, *names: str) -> str:
        """Write an OCI layout as a directory; its path."""
        for name, data in self.oci_files(*names).items():
            path = os.path.join(directory, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                file.write(data)
        return directory

    def oci_archive(self, path: str, *names: str) -> str:
        """Write an OCI layout as a tar; its path."""
        return write_tar(path, self.oci_files(*names))


def small_image(created: str, content: str, labels: dict[str, str] | None = None) -> TestImage:
    """A small image with a time and content of its own."""
    image = TestImage([LayerTar().file("content", content).bytes()], config={"Labels": labels or {}})
    document = {**json.loads(image.config.data), "created": created, "author": "somebody"}
    image.config = image.config._replace(data=json.dumps(document).encode())
    image.image_id = image.config.digest
    return image


def write_tar(path: str, files: dict[str, bytes]) -> str:
    """Write ``files`` to a plain tar in their order; its path."""
    builder = LayerTar()
    for name, data in files.items():
        builder.file(name, data)
    with open(path, "wb") as file:
        file.write(builder.bytes())
    return path


def busybox_path() -> str | None:
    """Where busybox-static has put its program; ``None`` when it is not installed."""
    return next((place for place in _BUSYBOX_PLACES if os.path.exists(place)), None)


def busybox_layer() -> LayerTar:
    """A root file system that can run: busybox with its usual names, ``/etc/passwd``, ``/tmp``. Not closed yet."""
    place = busybox_path()
    assert place is not None, "busybox-static is not installed"
    with open(place, "rb") as file:
        program = file.read()
    tar = LayerTar()
    for directory in ("bin", "dev", "etc", "proc", "root", "sys", "usr", "var"):
        tar.directory(directory)
    tar.directory("tmp", mode=0o1777)
    tar.file("bin/busybox", program, mode=0o755)
    for name in _APPLETS:
        tar.hardlink(f"bin/{name}", "bin/busybox", mode=0o755)
    tar.file("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n")
    tar.file("etc/group", "root:x:0:\nnogroup:x:65534:\n")
    return tar


def busybox_image(**options: Any) -> TestImage:
    """One layer that can run, ``Cmd`` a shell."""
    config = {"Cmd": ["sh"], "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]}
    return TestImage([busybox_layer().bytes()], config=config, **options)


def layered_image(**options: Any) -> TestImage:
    """Busybox and three layers above it that add, change, hide and replace.

    Merged, it has ``/data/kept`` ("kept"), ``/data/changed`` ("new"), ``/data/linked`` (a hard link to ``kept``),
    ``/data/link`` (a symbolic link to ``kept``), no ``/data/removed``, ``/dir/new`` and nothing else in ``/dir``
    (opaque), ``/private`` (mode 0600, owned by 1000:1000).
    """
    first = LayerTar().directory("data").file("data/kept", "kept").file("data/changed", "old")
    first.file("data/removed", "removed").directory("dir").file("dir/old", "old").directory("dir/deep")
    first.file("dir/deep/old", "old")
    second = LayerTar().directory("data").file("data/changed", "new").whiteout("data/removed")
    second.directory("dir").opaque("dir").file("dir/new", "new")
    third = LayerTar().directory("data").file("data/kept", "kept").hardlink("data/linked", "data/kept")
    third.symlink("data/link", "kept").file("private", "secret", mode=0o600, uid=1000, gid=1000)
    config = {"Cmd": ["sh"], "Env": ["PATH=/bin", "LAYERED=yes"], "Labels": {"purpose": "test"}}
    layers = [busybox_layer().bytes(), first.bytes(), second.bytes(), third.bytes()]
    return TestImage(layers, config=config, **options)

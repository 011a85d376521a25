"""Layers on disk: ours next to what dockerd makes of the same tars."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from lamina.tarball.header import PAX_GLOBAL, Header
from lamina.tarball.pax import record
from support.dockerd import Dockerd
from support.layertar import directory, file, hard_link, layer, look, symlink, unpack

pytestmark = [pytest.mark.root, pytest.mark.dockerd]

CAPABILITY = b"\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0"


def odd_layers(folder: Path) -> list[bytes]:
    """Layers that use what tar can do, written by us and by GNU tar."""
    comment = record(b"comment", b"0123456789")
    first = layer(
        (Header(b"pax_global_header", PAX_GLOBAL, size=len(comment)), [comment]),
        directory(b"bin", mode=0o1777),
        file(b"bin/a", b"hello" * 1000, mode=0o4755, uid=3, gid=4),
        file(b'we<i>&"rd\n', b"x"),
        file(b"\xff\xfe", b"y"),
        file(b"\x7f\x08\x0c\xe2\x80\xa8", b"control"),
        file(b"n" * 150, b"long", mtime=1_609_459_200_123_456_789),
        symlink(b"link", b"bin/a"),
        hard_link(b"hard", b"/bin/a", mode=0o4755, uid=3, gid=4),
        file(b"implied/parent/file", b"1"),
        file(b"capable", b"c", xattrs={b"security.capability": CAPABILITY}),
    )
    marks = (file(b"implied/.wh.parent"), file(b".wh.link"), directory(b"bin"), file(b"bin/.wh..wh..opq"))
    second = layer(*marks, file(b"new", b"z" * 700)) + bytes(3000)
    tree = folder / "tree"
    (tree / ("d" * 120)).mkdir(parents=True)
    (tree / ("d" * 120) / ("e" * 120)).write_bytes(b"deep")
    os.link(tree / ("d" * 120) / ("e" * 120), tree / "same")
    (tree / "empty").touch()
    tars = [first, second]
    for form in ("gnu", "posix"):
        command = ["tar", f"--format={form}", "--mtime=@1600000000.5", "--sort=name", "-C", str(tree), "-c", "."]
        tars.append(subprocess.run(command, check=True, capture_output=True).stdout + form.encode())
    return tars


def load(dockerd: Dockerd, folder: Path, layers: list[bytes]) -> None:
    """Give the layers to dockerd as one image."""
    diff_ids = ["sha256:" + hashlib.sha256(data).hexdigest() for data in layers]
    config = {"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": diff_ids}}
    manifest = [{"Config": "config.json", "RepoTags": ["odd:1"], "Layers": [f"{n}.tar" for n in range(len(layers))]}]
    with tarfile.open(folder / "image.tar", "w") as archive:
        members = {"config.json": json.dumps(config).encode(), "manifest.json": json.dumps(manifest).encode()}
        members |= {f"{number}.tar": data for number, data in enumerate(layers)}
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    loaded = dockerd.run("load", "-i", str(folder / "image.tar"))
    assert loaded.returncode == 0, loaded.stderr


def test_directories_records_and_sizes_are_dockerds(dockerd: Dockerd, tmp_path: Path) -> None:
    layers = odd_layers(tmp_path)
    load(dockerd, tmp_path, layers)
    database = Path(dockerd.root) / "image/overlay2/layerdb/sha256"
    theirs = {(entry / "diff").read_text(): entry for entry in database.iterdir()}
    for number, data in enumerate(layers):
        metadata = theirs["sha256:" + hashlib.sha256(data).hexdigest()]
        target = tmp_path / f"ours{number}"
        result = unpack(data, target)
        with gzip.open(f"{target}.tar-split") as ours, gzip.open(metadata / "tar-split.json.gz") as reference:
            assert ours.read() == reference.read()
        assert str(result.size) == (metadata / "size").read_text()
        diff = Path(dockerd.root) / "overlay2" / (metadata / "cache-id").read_text() / "diff"
        assert without_created_times(target) == without_created_times(diff)


def without_created_times(root: Path) -> dict[str, object]:
    """What a directory holds, without the times of what was made in passing: whiteouts and implied directories."""
    seen = look(root)
    return {
        path: (*entry[:4], None, entry[5]) if path.startswith("implied") or path == "link" else entry
        for path, entry in seen.items()
    }

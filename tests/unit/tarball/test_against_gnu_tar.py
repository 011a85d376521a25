"""Our reader and writer next to GNU tar."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from lamina.tarball import header as tar
from support.layertar import directory, file, hard_link, layer, look, read, symlink

LONG = "l" * 150 + "/" + "m" * 150


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Files with long names, a link, a hard link, an attribute, and a file with holes."""
    root = tmp_path / "tree"
    (root / LONG).parent.mkdir(parents=True)
    (root / LONG).write_bytes(b"long")
    (root / "link").symlink_to("t" * 130)
    os.link(root / LONG, root / "same")
    (root / "small").write_bytes(b"x" * 1000)
    os.setxattr(root / "small", "user.note", b"value=\n\0")
    with open(root / "holes", "wb") as holes:
        for number in range(40):
            holes.seek(number * 100_000)
            holes.write(b"%d" % number)
        holes.truncate(5_000_000)
    (root / "hole").touch()
    os.truncate(root / "hole", 1 << 20)
    return root


FORMATS = [
    ["--format=gnu"],
    ["--format=gnu", "--sparse"],
    ["--format=pax"],
    ["--format=pax", "--xattrs"],
    ["--format=pax", "--sparse", "--sparse-version=0.0"],
    ["--format=pax", "--sparse", "--sparse-version=0.1"],
    ["--format=pax", "--sparse", "--sparse-version=1.0"],
]


@pytest.mark.parametrize("options", FORMATS, ids=" ".join)
@pytest.mark.parametrize("chunk", [1000, 1 << 20])
def test_what_gnu_tar_writes_is_read(tree: Path, options: list[str], chunk: int) -> None:
    data = subprocess.run(["tar", *options, "-C", str(tree), "-c", "."], check=True, capture_output=True).stdout
    found = {header.name.decode().removeprefix("./"): (header, content) for header, content in read(data, chunk)}
    for name in ("small", "holes", "hole"):
        header, content = found[name]
        assert content == (tree / name).read_bytes()
        assert header.kind == tar.REGULAR
        assert (header.sparse is not None) == ("--sparse" in options and name != "small")
        status = os.stat(tree / name)
        assert header.mtime // 10**9 == status.st_mtime_ns // 10**9
        assert header.mode == status.st_mode & 0o7777
    assert found["link"][0].linkname == b"t" * 130
    one, other = found[LONG], found["same"]
    assert {one[0].kind, other[0].kind} == {tar.REGULAR, tar.HARD_LINK}
    assert {one[0].linkname, other[0].linkname} <= {b"", f"./{LONG}".encode(), b"./same"}
    if "--xattrs" in options:
        assert found["small"][0].xattrs == {b"user.note": b"value=\n\0"}


def test_gnu_tar_reads_what_we_write(tmp_path: Path) -> None:
    me = {"uid": os.getuid(), "gid": os.getgid()}
    entries = (
        directory(b"d", mode=0o2750, **me),
        file(b"d/" + b"n" * 200, b"content" * 300, mode=0o600, **me),
        file("d/é".encode(), b"1", mtime=-7 * 10**9, **me),
        symlink(b"s", b"t" * 200, **me),
        hard_link(b"h", b"d/" + b"n" * 200, mode=0o600, **me),
        file(b"x", b"2", xattrs={b"user.a": b"b"}, **me),
    )
    (tmp_path / "out").mkdir()
    subprocess.run(
        ["tar", "-C", str(tmp_path / "out"), "--xattrs", "--xattrs-include=*", "-xp"], input=layer(*entries), check=True
    )
    seen = look(tmp_path / "out")
    assert set(seen) == {"d", "d/" + "n" * 200, "d/é", "s", "h", "x"}
    assert seen["d"][0] == "0o42750"
    assert seen["d/é"][4] == -7
    assert seen["h"][3][0] == b"content" * 300
    assert seen["s"][3] == "t" * 200
    assert seen["x"][5] == {"user.a": b"b"}


@pytest.mark.parametrize("size", [8**11 - 1, 8**11, 1 << 40])
def test_sizes_beyond_octal_are_written_as_a_record(size: int) -> None:
    from lamina.tarball.reader import TarReader
    from lamina.tarball.writer import encode

    header = TarReader([encode(tar.Header(b"big", size=size))]).next()
    assert header is not None
    assert header.size == header.stored == size

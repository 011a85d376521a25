"""Recording a layer whose files are in place: the same as reading the tar that packing them gives."""

from __future__ import annotations

import os
import random
import socket
import stat
from pathlib import Path

import pytest

from lamina.digest import DiffID, hasher
from lamina.graphdriver.contract import DiffForm
from lamina.layer.difference import overlay_tar
from lamina.layer.recording import record_upper
from lamina.tarball import tarsplit
from lamina.tarball.header import Header
from lamina.tarball.reader import TarReader
from lamina.tarball.writer import encode, plain_file

LONG = "n" * 150


def _tree(root: Path) -> None:
    """Every kind of file that a layer holds and an unprivileged user can make, and every size class."""
    for name, size in (("empty", 0), ("small", 700), ("block", 512), ("batch", 1 << 18), ("large", (3 << 20) + 5)):
        (root / name).write_bytes(random.Random(name).randbytes(size))
    deep = root / "directory" / LONG / LONG
    deep.mkdir(parents=True)
    for name in ("a", "ä", 'quo"te', "back\\slash", LONG, os.fsdecode(b"\xff\xfe")):
        (deep / name).write_text(name, errors="surrogateescape")
        (root / "directory" / name[:99]).write_text("short")
    os.link(root / "small", root / "twin")
    os.symlink("small", root / "link")
    os.symlink(LONG, root / "long link")
    os.mkfifo(root / "fifo")
    (root / "setuid").write_text("x")
    (root / "setuid").chmod(0o4711)
    os.utime(root / "block", ns=(-5_500_000_000, -5_500_000_000))
    os.utime(root / "large", ns=(1_700_000_000_123_456_789, 1_700_000_000_123_456_789))


def _expected(directory: Path) -> tuple[DiffID, int, list[tarsplit.Entry]]:
    """DiffID, bytes of the tar and tar-split entries, by way of the tar."""
    tar = b"".join(overlay_tar(str(directory)))
    digest = hasher()
    digest.update(tar)
    lines: list[bytes] = []
    recorder = tarsplit.Recorder(lines.append)
    reader = TarReader(iter([tar]), recorder)
    while reader.next() is not None:
        pass
    reader.drain()
    recorder.close()
    return DiffID.from_hash(digest), len(tar), [tarsplit.parse_line(line) for line in b"".join(lines).splitlines()]


def test_recording_finds_what_reading_the_tar_would_have_found(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    _tree(tree)
    diff_id, size, entries = _expected(tree)
    result = record_upper(str(tree), DiffForm.OVERLAY, str(tmp_path / "split"))
    assert (result.diff_id, result.tar_size) == (diff_id, size)
    assert list(tarsplit.read(str(tmp_path / "split"))) == entries
    statuses = {status.st_ino: status for path in tree.rglob("*") if not stat.S_ISDIR((status := path.lstat()).st_mode)}
    assert result.size == sum(status.st_size for status in statuses.values())


def test_the_record_gives_the_tar_again(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    _tree(tree)
    record_upper(str(tree), DiffForm.OVERLAY, str(tmp_path / "split"))
    top = os.fsencode(tree)
    again = tarsplit.assemble(str(tmp_path / "split"), lambda name: os.open(top + b"/" + name, os.O_RDONLY))
    assert b"".join(again) == b"".join(overlay_tar(str(tree)))


def test_an_empty_directory_is_the_empty_archive(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    result = record_upper(str(tree), DiffForm.OVERLAY, str(tmp_path / "split"))
    assert (result.diff_id, result.tar_size, result.size) == (_expected(tree)[0], 1024, 0)


def test_later_times_are_cut_on_disk_and_in_the_tar(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    for name, seconds in (("old", 1000), ("new", 3000)):
        (tree / name).write_text(name)
        os.utime(tree / name, (seconds, seconds))
    result = record_upper(str(tree), DiffForm.OVERLAY, str(tmp_path / "split"), latest=2000)
    assert [int((tree / name).stat().st_mtime) for name in ("old", "new")] == [1000, 2000]
    assert result.diff_id == _expected(tree)[0]


def test_sockets_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "file").write_text("content")
    monkeypatch.chdir(tree)
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind("socket")
    result = record_upper(str(tree), DiffForm.OVERLAY, str(tmp_path / "split"))
    assert os.listdir(tree) == ["file"]
    assert result.diff_id == _expected(tree)[0]


@pytest.mark.parametrize("mode", [0o644, 0o4755, 0o1777, 0])
@pytest.mark.parametrize("size", [0, 1, 8**11 - 1])
def test_a_plain_header_is_the_usual_one(mode: int, size: int) -> None:
    for name in (b"a", b"dir/" + b"x" * 96, b"~" * 100):
        status = os.stat_result(
            (0o100000 | mode, 0, 0, 1, 12345, 8**7 - 1, size, 0, 0, 0), {"st_mtime_ns": 1_735_689_600 * 10**9}
        )
        header = Header(name, size=size, mode=mode, uid=12345, gid=8**7 - 1, mtime=1_735_689_600 * 10**9)
        assert plain_file(name, status) == encode(header)


@pytest.mark.parametrize(
    ("name", "uid", "size", "mtime"),
    [
        (b"x" * 101, 0, 0, 0),
        (b"\xc3\xa4", 0, 0, 0),
        (b"x", 8**7, 0, 0),
        (b"x", 0, 8**11, 0),
        (b"x", 0, 0, -1),
        (b"x", 0, 0, 8**11),
    ],
)
def test_what_needs_an_extended_header_is_not_plain(name: bytes, uid: int, size: int, mtime: int) -> None:
    status = os.stat_result((0o100644, 0, 0, 1, uid, 0, size, 0, 0, 0), {"st_mtime_ns": mtime * 10**9})
    assert plain_file(name, status) is None

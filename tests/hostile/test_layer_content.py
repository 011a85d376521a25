"""Layers with impossible metadata or damaged tars (hostile inputs 7 and 8)."""

from __future__ import annotations

import contextlib
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from lamina.errors import Corrupt, LaminaError, Unsupported
from lamina.graphdriver.contract import DiffForm
from lamina.layer.entry import InvalidEntry
from lamina.tarball import header as tar
from lamina.tarball import pax
from lamina.tarball.header import BLOCK, Header, InvalidTar
from lamina.tarball.writer import END, encode, padding
from support.layertar import THEN, device, directory, file, hard_link, layer, look, read, reassemble, symlink, unpack

pytestmark = pytest.mark.root


def raw(name: bytes, kind: bytes, content: bytes = b"", *, size: bytes | None = None) -> bytes:
    """An entry with a size field of our choice."""
    block = encode(Header(name, kind, size=len(content)))
    if size is not None:
        block = block[:124] + size.ljust(12, b"\0") + block[136:]
        block = block[:148] + b"%06o\0 " % tar.checksum(block) + block[156:]
    return block + content + padding(len(content))


def extended(*records: tuple[bytes, bytes], kind: bytes = tar.PAX) -> bytes:
    return raw(b"PaxHeaders.0/x", kind, b"".join(pax.record(key, value) for key, value in records))


# 7: metadata


def test_devices_fifos_and_modes_are_extracted_as_they_are(tmp_path: Path) -> None:
    entries = (
        device(b"null", 1, 3, mode=0o666),
        device(b"disk", 8, 1, tar.BLOCK_DEVICE, uid=1, gid=6),
        device(b"pipe", 0, 0, tar.FIFO, mode=0o622),
        file(b"setuid", b"x", mode=0o104755, uid=3, gid=4),
        file(b"beyond", b"x", mode=0o7777777),
        directory(b"sticky", mode=0o41777),
        directory(b"setgid", mode=0o2775, gid=50),
        directory(b"setgid/inside"),
        file(b"setgid/file", b""),
    )
    unpack(layer(*entries), tmp_path / "layer")
    seen = {path: (mode, uid, gid) for path, (mode, uid, gid, *_) in look(tmp_path / "layer").items()}
    assert seen == {
        "null": (oct(stat.S_IFCHR | 0o666), 0, 0),
        "disk": (oct(stat.S_IFBLK | 0o600), 1, 6),
        "pipe": (oct(stat.S_IFIFO | 0o622), 0, 0),
        "setuid": (oct(stat.S_IFREG | 0o4755), 3, 4),
        "beyond": (oct(stat.S_IFREG | 0o7777), 0, 0),
        "sticky": (oct(stat.S_IFDIR | 0o1777), 0, 0),
        "setgid": (oct(stat.S_IFDIR | 0o2775), 0, 50),
        "setgid/inside": (oct(stat.S_IFDIR | 0o755), 0, 0),
        "setgid/file": (oct(stat.S_IFREG | 0o644), 0, 0),
    }


@pytest.mark.parametrize("owner", [(-1, 0), (0, -1), (1 << 32, 0), ((1 << 32) - 1, 0), (0, 1 << 40), (-(1 << 62), 5)])
@pytest.mark.parametrize("kind", [tar.REGULAR, tar.DIRECTORY, tar.SYMLINK, tar.FIFO])
def test_owner_that_is_none_never_becomes_root(tmp_path: Path, owner: tuple[int, int], kind: bytes) -> None:
    header = Header(b"x", kind, uid=owner[0], gid=owner[1], linkname=b"y" if kind == tar.SYMLINK else b"")
    with pytest.raises(InvalidEntry, match="owner"):
        unpack(layer((header, [])), tmp_path / "layer")


def test_largest_owner_is_kept(tmp_path: Path) -> None:
    unpack(layer(file(b"x", uid=(1 << 32) - 2, gid=1 << 31)), tmp_path / "layer")
    status = os.stat(tmp_path / "layer/x")
    assert (status.st_uid, status.st_gid) == ((1 << 32) - 2, 1 << 31)


def test_capabilities_survive_ownership_and_hard_links(tmp_path: Path) -> None:
    capability = b"\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
    entries = (
        file(b"ping", b"x", mode=0o4755, uid=7, gid=8, xattrs={b"security.capability": capability}),
        hard_link(b"ping6", b"ping", mode=0o4755, uid=7, gid=8),
    )
    unpack(layer(*entries), tmp_path / "layer")
    assert os.getxattr(tmp_path / "layer/ping6", "security.capability") == capability
    assert stat.S_IMODE(os.stat(tmp_path / "layer/ping").st_mode) == 0o4755


@pytest.mark.parametrize("name", [b"user." + b"x" * 251, b"nonamespace", b"bogus.x", b"user."])
def test_odd_attribute_names_are_dropped_or_refused(tmp_path: Path, name: bytes) -> None:
    with contextlib.suppress(LaminaError):
        unpack(layer(file(b"x", xattrs={name: b"1"})), tmp_path / "layer")
    assert os.listxattr(tmp_path / "layer/x") == []


@pytest.mark.parametrize("size", [1 << 16, (1 << 16) + 1, 1 << 19])
def test_attribute_too_large_for_the_file_system_is_a_clear_error(tmp_path: Path, size: int) -> None:
    with pytest.raises(Unsupported, match=r"extended attribute 'user\.big'"):
        unpack(layer(file(b"x", xattrs={b"user.big": b"v" * size})), tmp_path / "layer")


@pytest.mark.parametrize(
    "name", [b"new\nline", b"\xff\xfe", b"tab\t", b"\x01", b"quote\"'", b"\xe2\x80\xa8", b"x" * 255]
)
def test_any_bytes_make_a_name(tmp_path: Path, name: bytes) -> None:
    data = layer(file(name, b"content"))
    unpack(data, tmp_path / "layer")
    assert os.listdir(os.fsencode(tmp_path / "layer")) == [name]
    assert reassemble(tmp_path / "layer") == data


@pytest.mark.parametrize("length", [251, 252, 253, 254, 255])
def test_names_that_leave_no_room_for_a_prefix_can_be_whited_out(tmp_path: Path, length: int) -> None:
    unpack(layer(file(b".wh." + b"n" * length)), tmp_path / "layer")
    assert stat.S_ISCHR(os.lstat(tmp_path / "layer" / ("n" * length)).st_mode)


@pytest.mark.parametrize("name", [b"x" * 256, b"d/" * 2100 + b"x", b".wh." + b"x" * 256])
def test_name_longer_than_the_kernel_takes_is_a_clear_error(tmp_path: Path, name: bytes) -> None:
    with pytest.raises(InvalidEntry, match="file name too long"):
        unpack(layer(file(name)), tmp_path / "layer")


def test_name_with_nul_is_refused_in_pax_and_ends_in_ustar(tmp_path: Path) -> None:
    with pytest.raises(InvalidTar):
        read(extended((b"path", b"a\0b")) + raw(b"x", tar.REGULAR) + END)
    block = raw(b"a", tar.REGULAR)
    block = block[:1] + b"\0../../b" + block[9:]
    block = block[:148] + b"%06o\0 " % tar.checksum(block[:BLOCK]) + block[156:]
    assert [header.name for header, _ in read(block + END)] == [b"a"]


def test_deep_directories_are_extracted_and_packed(tmp_path: Path) -> None:
    name = b"d/" * 1500 + b"x"
    unpack(layer(file(name, b"deep")), tmp_path / "layer")
    root = os.open(tmp_path / "layer", os.O_RDONLY)
    try:
        descriptor = os.open(name, os.O_RDONLY, dir_fd=root)
    finally:
        os.close(root)
    assert os.read(descriptor, 9) == b"deep"
    os.close(descriptor)
    subprocess.run(["rm", "-rf", str(tmp_path / "layer")], check=True)


@pytest.mark.slow
def test_many_names_in_one_directory_take_little_memory(tmp_path: Path) -> None:
    """Thirty thousand here; what is kept per name must be nothing, so the limit is that for a million."""
    script = f"""
import resource
from pathlib import Path
from lamina.graphdriver.contract import DiffForm
from lamina.layer.pipeline import UnpackTarget
from lamina.layer.unpack import unpack_here
from lamina.tarball.header import Header
from lamina.tarball.writer import END, encode
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
def chunks():
    for start in range(0, 30000, 1000):
        yield b"".join(encode(Header(b"d/%d" % number, mode=0o644)) for number in range(start, start + 1000))
    yield END
unpack_here(chunks(), UnpackTarget({str(tmp_path)!r}, DiffForm.OVERLAY))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    grown = int(subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout)
    assert len(os.listdir(tmp_path / "d")) == 30000
    assert grown < 6 << 10


# 8: the tar


def test_pax_size_wins_over_the_headers(tmp_path: Path) -> None:
    """TARmageddon (CVE-2025-62518): whoever believes the header's 0 takes the content for entries."""
    hidden = raw(b"hidden", tar.REGULAR)
    data = extended((b"size", b"%d" % len(hidden))) + raw(b"outer", tar.REGULAR) + hidden + END
    assert [(header.name, content) for header, content in read(data)] == [(b"outer", hidden)]
    unpack(data, tmp_path / "layer")
    assert os.listdir(tmp_path / "layer") == ["outer"]
    assert reassemble(tmp_path / "layer") == data


def test_last_of_duplicate_pax_keys_wins() -> None:
    data = extended((b"path", b"first"), (b"path", b"second")) + raw(b"x", tar.REGULAR) + END
    assert [header.name for header, _ in read(data)] == [b"second"]


@pytest.mark.parametrize("size", [b"-1", b"99999999999999999999", b"1e3", b"0x10", b" 1", b"+1", b"1_0"])
def test_malformed_pax_size_is_an_error(size: bytes) -> None:
    with pytest.raises(InvalidTar):
        read(extended((b"size", size)) + raw(b"x", tar.REGULAR) + END)


@pytest.mark.parametrize("size", [b"+0000000012", b"0_0", b"0o17", b"8", b"\x80" * 11 + b"\xff", b"\xff" * 12])
def test_malformed_size_field_is_an_error(size: bytes) -> None:
    with pytest.raises(InvalidTar):
        read(raw(b"x", tar.REGULAR, size=size) + END)


@pytest.mark.parametrize(
    "content",
    [b"x", b"5 a=b\n", b"99 a=b\n", b"0 a=b\n", b"-6 a=b\n", b"6 a=b", b"6 =bc\n", b"6 a\0=\n", b"7 a=b\nx\n"],
)
def test_malformed_pax_records_are_an_error(content: bytes) -> None:
    data = raw(b"p", tar.PAX, content) + raw(b"x", tar.REGULAR) + END
    with pytest.raises(InvalidTar):
        read(data)


def test_global_header_does_not_fail_and_changes_nothing(tmp_path: Path) -> None:
    glob = extended((b"path", b"evil"), (b"comment", b"abc"), kind=tar.PAX_GLOBAL)
    data = glob + raw(b"x", tar.REGULAR, b"1") + glob + raw(b"y", tar.REGULAR) + END
    unpack(data, tmp_path / "layer")
    assert set(look(tmp_path / "layer")) == {"x", "y"}
    assert reassemble(tmp_path / "layer") == data


@pytest.mark.parametrize("kind", [tar.PAX, tar.PAX_GLOBAL, tar.GNU_LONG_NAME, tar.GNU_LONG_LINK])
@pytest.mark.parametrize("size", [b"77777777777", b"\x80" + b"\0" * 3 + b"\x7f" + b"\xff" * 7, b"00004000001"])
def test_header_that_claims_gigabytes_allocates_nothing(kind: bytes, size: bytes) -> None:
    with pytest.raises(InvalidTar, match="too long"):
        read(raw(b"x", kind, size=size))


def test_endless_chain_of_extension_headers_is_an_error() -> None:
    with pytest.raises(InvalidTar, match="too long"):
        read(extended((b"comment", b"c" * 100_000)) * 50 + raw(b"x", tar.REGULAR) + END)


def test_base_256_numbers_are_read() -> None:
    data = raw(b"x", tar.REGULAR, size=b"\x80" + b"\0" * 10 + b"\x03") + b"abc".ljust(BLOCK, b"\0") + END
    assert [content for _, content in read(data)] == [b"abc"]


def test_wrong_checksum_is_an_error() -> None:
    block = raw(b"x", tar.REGULAR)
    for position in (0, 100, 156, 300, 511):
        damaged = block[:position] + bytes([block[position] ^ 1]) + block[position + 1 :]
        with pytest.raises(InvalidTar):
            read(damaged + END)


def test_truncation_anywhere_is_an_error_or_a_clean_end() -> None:
    data = layer(file(b"x" * 150, b"content" * 100), symlink(b"y", b"x"))
    whole = [header.name for header, _ in read(data)]
    for length in range(0, len(data), 100):
        try:
            names = [header.name for header, _ in read(data[:length])]
        except InvalidTar:
            continue
        assert names == whole[: len(names)]
        assert length % BLOCK == 0 or length > len(data) - 3 * BLOCK or not names or length > 1500


def test_what_follows_the_end_is_kept_in_the_record_only(tmp_path: Path) -> None:
    first = layer(file(b"a", b"1"))
    for rest in (b"garbage", layer(file(b"b", b"2")), bytes(10240), b"x" * (3 << 20)):
        target = tmp_path / str(len(rest))
        result = unpack(first + rest, target)
        assert os.listdir(target) == ["a"]
        assert result.tar_size == len(first + rest)
        assert reassemble(target) == first + rest


def test_single_zero_block_in_the_middle_is_an_error() -> None:
    with pytest.raises(InvalidTar):
        read(raw(b"a", tar.REGULAR) + bytes(BLOCK) + raw(b"b", tar.REGULAR) + END)


def sparse_0_1(regions: bytes, size: bytes, content: bytes, count: bytes | None = None) -> bytes:
    count = count if count is not None else b"%d" % ((regions.count(b",") + 1) // 2)
    records = ((b"GNU.sparse.size", size), (b"GNU.sparse.numblocks", count), (b"GNU.sparse.map", regions))
    return extended(*records) + raw(b"s", tar.REGULAR, content) + END


@pytest.mark.parametrize(
    "regions",
    [
        b"-1,3",
        b"0,-3",
        b"4,3,0,0",
        b"0,2,1,1",
        b"0,9223372036854775807",
        b"9223372036854775807,3",
        b"0,3,4",
        b"0,2",
        b"a,3",
    ],
)
def test_impossible_sparse_map_is_an_error(regions: bytes) -> None:
    with pytest.raises(InvalidTar):
        read(sparse_0_1(regions, b"10", b"abc"))


def test_sparse_files_keep_their_holes_and_their_bytes(tmp_path: Path) -> None:
    data = sparse_0_1(b"4096,3,1073741824,0", b"1073741824", b"abc")
    unpack(data, tmp_path / "layer")
    status = os.stat(tmp_path / "layer/s")
    assert status.st_size == 1 << 30
    assert status.st_blocks * 512 < 1 << 20
    assert reassemble(tmp_path / "layer") == data


def test_sparse_map_of_a_million_regions_is_bounded() -> None:
    regions = b",".join(b"%d,0" % number for number in range(1_000_000))
    with pytest.raises(InvalidTar, match="too long"):
        read(sparse_0_1(regions, b"1000000", b""))
    lines = b"1000000\n" + b"".join(b"%d\n0\n" % number for number in range(1_000_000))
    head = extended((b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"), (b"GNU.sparse.realsize", b"1000000"))
    with pytest.raises(InvalidTar):
        read(head + raw(b"s", tar.REGULAR, lines) + END)


def test_sparse_size_beyond_any_file_system_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(Corrupt, match="'s'"):
        unpack(sparse_0_1(b"0,3", b"9223372036854775807", b"abc"), tmp_path / "layer")


def test_unknown_kinds_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidEntry, match="unhandled tar header type"):
        unpack(raw(b"x", b"V") + END, tmp_path / "layer")


def test_times_beyond_belief_become_the_epoch(tmp_path: Path) -> None:
    data = layer(file(b"old", mtime=-5 * 10**9), file(b"far", mtime=10**26), file(b"now", mtime=THEN + 5))
    unpack(data, tmp_path / "layer", DiffForm.SNAPSHOT)
    times = {name: os.stat(tmp_path / "layer" / name).st_mtime_ns for name in ("old", "far", "now")}
    assert times == {"old": 0, "far": 0, "now": THEN + 5}

"""Compressed layers that lie, explode or are damaged (hostile input 9)."""

from __future__ import annotations

import bz2
import gzip
import lzma
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from backports import zstd

from lamina.tarball.compression import CHUNK, Compression, CorruptStream, decompress, detect
from support.layertar import file, layer, unpack

COMPRESSORS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "zstd": zstd.compress,
    "xz": lzma.compress,
    "bzip2": bz2.compress,
}
EACH = pytest.mark.parametrize("compress", COMPRESSORS.values(), ids=COMPRESSORS.keys())
SKIPPABLE = b"\x5a\x2a\x4d\x18\x04\0\0\0skip"


def plain(*chunks: bytes) -> bytes:
    return b"".join(decompress(chunks))


@EACH
@pytest.mark.parametrize("cut", [1, 7, 1 << 20])
def test_streams_come_out_however_they_are_cut(compress: Callable[[bytes], bytes], cut: int) -> None:
    data = bytes(range(256)) * 50
    packed = compress(data)
    assert plain(*(packed[start : start + cut] for start in range(0, len(packed), cut))) == data


@EACH
def test_members_follow_each_other(compress: Callable[[bytes], bytes]) -> None:
    assert plain(compress(b"one") + compress(b"") + compress(b"two")) == b"onetwo"


@EACH
def test_thousands_of_tiny_members_take_linear_time(compress: Callable[[bytes], bytes]) -> None:
    assert len(plain(compress(b"x") * 5_000)) == 5_000


@EACH
@pytest.mark.parametrize("size", range(1, 9))
def test_members_of_any_size_lie_anywhere_in_a_piece(compress: Callable[[bytes], bytes], size: int) -> None:
    members = 300_000 // len(compress(b"x" * size))
    assert plain(compress(bytes(size)) * members) == bytes(size * members)


@EACH
@pytest.mark.parametrize("rest", [b"garbage", b"\0\0\0\1", b"\x1f\x8b", b"g"])
def test_garbage_after_the_end_is_an_error(compress: Callable[[bytes], bytes], rest: bytes) -> None:
    with pytest.raises(CorruptStream):
        plain(compress(b"data") + rest)


@EACH
def test_truncation_is_an_error(compress: Callable[[bytes], bytes]) -> None:
    packed = compress(b"data" * 100)
    for length in range(7, len(packed)):
        with pytest.raises(CorruptStream):
            plain(packed[:length])


@EACH
def test_damage_is_an_error(compress: Callable[[bytes], bytes]) -> None:
    packed = bytearray(compress(bytes(range(256)) * 20))
    packed[len(packed) // 2] ^= 0x55
    try:
        unpacked = plain(bytes(packed))
    except CorruptStream:
        return
    assert compress is zstd.compress, "only zstd frames come without a checksum"
    assert len(unpacked) == 20 * 256


@EACH
def test_bomb_comes_out_in_small_chunks(compress: Callable[[bytes], bytes]) -> None:
    bomb = compress(bytes(16 << 20))
    assert max(len(chunk) for chunk in decompress([bomb])) <= CHUNK


def test_gzip_header_fields_are_skipped() -> None:
    body = zlib.compressobj(wbits=-15)
    data = body.compress(b"hello") + body.flush()
    trailer = zlib.crc32(b"hello").to_bytes(4, "little") + (5).to_bytes(4, "little")
    header = b"\x1f\x8b\x08\x1c\0\0\0\0\0\xff" + b"\x05\0extra" + b"name\0" + b"comment\0"
    assert plain(header + data + trailer) == b"hello"


def test_zstd_skippable_frames_are_skipped() -> None:
    frame = zstd.compress(b"data")
    assert detect(SKIPPABLE + frame) is Compression.ZSTD
    assert plain(SKIPPABLE + frame + SKIPPABLE + frame + SKIPPABLE) == b"datadata"


def test_zstd_window_beyond_the_limit_is_refused() -> None:
    frame = b"\x28\xb5\x2f\xfd" + b"\x00" + bytes([(31 - 10) << 3]) + b"\x01\0\0"
    with pytest.raises(CorruptStream):
        plain(frame)


def test_xz_dictionary_beyond_the_limit_is_refused() -> None:
    compressor = lzma.LZMACompressor(filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 4096}])
    packed = bytearray(compressor.compress(b"x" * 100) + compressor.flush())
    # Block header: size, flags, filter id, properties' size, dictionary size, padding, CRC-32.
    packed[16] = 37  # 2 GiB
    packed[20:24] = zlib.crc32(bytes(packed[12:20])).to_bytes(4, "little")
    with pytest.raises(CorruptStream):
        plain(bytes(packed))


def test_xz_padding_between_streams_is_skipped() -> None:
    assert plain(lzma.compress(b"a") + bytes(8) + lzma.compress(b"b") + bytes(4)) == b"ab"


@pytest.mark.parametrize("data", [b"", b"x", b"\x1f", b"\x1f\x8b", b"BZ", b"plain text" * 1000])
def test_anything_else_is_plain(data: bytes) -> None:
    assert plain(data) == data


@EACH
@pytest.mark.root
def test_layer_is_unpacked_by_what_it_is_not_what_it_is_called(
    compress: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    data = layer(file(b"x", b"content"))
    unpack(compress(data), tmp_path / "layer")
    assert (tmp_path / "layer/x").read_bytes() == b"content"


def test_no_helper_program_is_ever_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """CVE-2026-41567: a container's own ``xz`` or ``unpigz``, found on its ``PATH``."""
    for name in ("gzip", "unpigz", "igzip", "xz", "bzip2", "zstd"):
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    for compress in COMPRESSORS.values():
        assert plain(compress(b"data")) == b"data"
    assert not (tmp_path / "ran").exists()


@pytest.mark.slow
@pytest.mark.root
@pytest.mark.parametrize("kind", ["gzip", "zstd"])
def test_bomb_after_the_tars_end_takes_little_memory(kind: str, tmp_path: Path) -> None:
    """CVE-2017-14992: the zeros after an archive went into tar-split in one piece."""
    script = f"""
import resource, gzip
from backports import zstd
from lamina.graphdriver.contract import DiffForm
from lamina.layer.pipeline import UnpackTarget, unpack
pack = {{"gzip": gzip.compress, "zstd": zstd.compress}}[{kind!r}]
member = pack(bytes(64 << 20))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
unpack([member] * 4, UnpackTarget({str(tmp_path)!r}, DiffForm.OVERLAY, {str(tmp_path / "split")!r}))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    grown = int(subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout)
    assert grown < 24 << 10
    assert (tmp_path / "split").stat().st_size < 4 << 20

"""tar-split's lines, and getting an archive back from them."""

from __future__ import annotations

import gzip
import os
import random
import subprocess
from pathlib import Path

import pytest

from lamina.tarball import tarsplit
from lamina.tarball.reader import TarReader
from support.layertar import directory, file, hard_link, layer, symlink
from support.programs import need

ODD = [b'<&>"\\', b"\x01\x08\x0c\x7f", "\u2028\u2029é\U0001f600".encode(), b"\xff\xfe", b"\xed\xa0\x80", b"n" * 300]


def lines(data: bytes) -> bytes:
    written: list[bytes] = []
    recorder = tarsplit.Recorder(written.append)
    reader = TarReader([data], recorder)
    for _ in reader:
        pass
    reader.drain()
    recorder.close()
    return b"".join(written)


def test_lines_are_those_of_the_tar_split_program(tmp_path: Path) -> None:
    need("tar-split")
    entries = [directory(b"d"), file(b"d/f", b"x" * 600), symlink(b"s", b"d"), hard_link(b"h", b"d/f"), file(b"e")]
    data = layer(*entries, *(file(name, name) for name in ODD)) + b"rest"
    (tmp_path / "x.tar").write_bytes(data)
    command = ["tar-split", "disasm", "--output", str(tmp_path / "x.json.gz"), str(tmp_path / "x.tar")]
    subprocess.run(command, check=True, capture_output=True)
    with gzip.open(tmp_path / "x.json.gz") as reference:
        assert lines(data) == reference.read()


def prepare(folder: Path) -> tuple[bytes, str]:
    content = random.Random(2).randbytes(100_000)
    data = layer(file(b"f", content), file(b"g", b"small"))
    (folder / "f").write_bytes(content)
    (folder / "g").write_bytes(b"small")
    split = folder / "split.gz"
    split.write_bytes(gzip.compress(lines(data)))
    return data, str(split)


def assemble(folder: Path, split: str) -> bytes:
    return b"".join(tarsplit.assemble(split, lambda name: os.open(os.fsencode(folder) + b"/" + name, os.O_RDONLY)))


def test_archive_comes_back(tmp_path: Path) -> None:
    data, split = prepare(tmp_path)
    assert assemble(tmp_path, split) == data


@pytest.mark.parametrize("damage", ["changed", "shorter", "longer", "missing", "a link"])
def test_changed_file_is_noticed(tmp_path: Path, damage: str) -> None:
    _, split = prepare(tmp_path)
    if damage == "changed":
        with open(tmp_path / "f", "r+b") as damaged:
            damaged.seek(50_000)
            damaged.write(b"!!")
    elif damage == "shorter":
        os.truncate(tmp_path / "f", 99_999)
    elif damage == "longer":
        os.truncate(tmp_path / "f", 100_001)
    else:
        os.unlink(tmp_path / "f")
        if damage == "a link":
            os.symlink("missing", tmp_path / "f")
    with pytest.raises(tarsplit.CorruptTarSplit, match="file integrity checksum failed for 'f'"):
        assemble(tmp_path, split)


@pytest.mark.parametrize(
    "line",
    [
        b"nonsense",
        b"[]",
        b"{}",
        b'{"type":3,"payload":"","position":0}',
        b'{"type":2,"payload":"***","position":0}x',
        b'{"type":1,"name":5,"payload":null}',
        b'{"type":1,"name":"a","size":-1,"payload":null}',
        b'{"type":1,"name":"a","size":"1","payload":null}',
        b'{"type":2,"payload":"AAA',
        b"[" * 100_000,
    ],
)
def test_malformed_line_is_corrupt(tmp_path: Path, line: bytes) -> None:
    (tmp_path / "split.gz").write_bytes(gzip.compress(line + b"\n"))
    with pytest.raises(tarsplit.CorruptTarSplit):
        assemble(tmp_path, str(tmp_path / "split.gz"))


def test_truncated_file_is_corrupt(tmp_path: Path) -> None:
    _, split = prepare(tmp_path)
    os.truncate(split, os.path.getsize(split) - 9)
    with pytest.raises(tarsplit.CorruptTarSplit):
        assemble(tmp_path, split)

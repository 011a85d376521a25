"""Any files make an archive that reads back as they are, and any bytes make files or a clear error."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import shutil
import tarfile
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lamina.errors import LaminaError
from lamina.graphdriver.contract import DiffForm
from lamina.layer.changes import snapshot_changes
from lamina.layer.difference import overlay_tar, snapshot_tar
from lamina.tarball import header as tar
from lamina.tarball import tarsplit
from lamina.tarball.compression import decompress
from lamina.tarball.gzipwriter import compress
from lamina.tarball.header import Header
from lamina.tarball.reader import TarReader
from lamina.tarball.writer import archive
from support.layertar import Entry, file, layer, look, read, reassemble, unpack

FAST = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])

component = st.binary(min_size=1, max_size=40).filter(
    lambda name: not (set(b"/\0") & set(name)) and name not in (b".", b"..") and not name.startswith(b".wh.")
)
small_component = st.sampled_from([b"a", b"b", b"c", b"\xff", "é".encode()])
path = st.lists(component, min_size=1, max_size=4).map(b"/".join)
identifier = st.integers(0, (1 << 32) - 2)
when = st.integers(0, 1 << 34).map(lambda seconds: seconds * 10**9)
attributes = st.none() | st.dictionaries(
    st.sampled_from([b"user.a", b"user.b", b"trusted.x"]), st.binary(min_size=1, max_size=50), min_size=1, max_size=2
)


@st.composite
def headers(draw: st.DrawFn) -> Entry:
    """One entry with any values that a tar can hold."""
    kind = draw(st.sampled_from([tar.REGULAR, tar.DIRECTORY, tar.SYMLINK, tar.HARD_LINK, tar.CHARACTER, tar.FIFO]))
    content = draw(st.binary(max_size=2000)) if kind == tar.REGULAR else b""
    name = draw(path | st.binary(min_size=101, max_size=400).filter(lambda name: b"\0" not in name))
    device = kind == tar.CHARACTER
    header = Header(
        name,
        kind,
        len(content),
        draw(st.integers(0, 0o7777)),
        draw(identifier),
        draw(identifier),
        draw(st.integers(-(1 << 60), 1 << 62)),
        draw(path) if kind in (tar.SYMLINK, tar.HARD_LINK) else b"",
        len(content),
        draw(st.integers(0, 4095)) if device else 0,
        draw(st.integers(0, 1 << 20)) if device else 0,
        draw(st.sampled_from([b"", b"root", "jürgen".encode(), b"u" * 40])),
        draw(st.sampled_from([b"", b"wheel"])),
        draw(st.none() | when),
        draw(attributes),
    )
    return header, [content]


@FAST
@given(st.lists(headers(), max_size=6), st.integers(1, 3000))
def test_what_is_written_is_read(entries: list[Entry], chunk: int) -> None:
    assert read(layer(*entries), chunk) == [(header, content[0]) for header, content in entries]


@FAST
@given(st.lists(headers(), max_size=6))
def test_python_reads_what_is_written(entries: list[Entry]) -> None:
    data = layer(*entries)
    with tarfile.open(fileobj=io.BytesIO(data), encoding="utf-8", errors="surrogateescape") as theirs:
        members = theirs.getmembers()
        for (header, content), member in zip(entries, members, strict=True):
            assert member.name.encode(errors="surrogateescape") == header.name.rstrip(b"/")
            assert (member.mode, member.uid, member.gid) == (header.mode, header.uid, header.gid)
            assert member.linkname.encode(errors="surrogateescape") == header.linkname
            assert abs(member.mtime * 10**9 - header.mtime) < 10**9 + abs(header.mtime) // 10**6
            if header.kind == tar.REGULAR:
                extracted = theirs.extractfile(member)
                assert extracted is not None
                assert extracted.read() == content[0]


@FAST
@given(
    st.lists(st.tuples(path, st.binary(max_size=1000)), max_size=5),
    st.sampled_from([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
)
def test_what_python_writes_is_read(files: list[tuple[bytes, bytes]], form: int) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form, encoding="utf-8", errors="surrogateescape") as theirs:
        for name, content in files:
            member = tarfile.TarInfo(name.decode(errors="surrogateescape"))
            member.size = len(content)
            try:
                theirs.addfile(member, io.BytesIO(content))
            except (ValueError, UnicodeEncodeError):
                return
    assert [(header.name, content) for header, content in read(buffer.getvalue())] == files


@FAST
@given(st.lists(headers(), max_size=5), st.binary(max_size=3000), st.integers(1, 3000))
def test_tar_split_gives_the_bytes_back(entries: list[Entry], rest: bytes, chunk: int) -> None:
    data = layer(*entries) + rest
    lines: list[bytes] = []
    recorder = tarsplit.Recorder(lines.append)
    reader = TarReader((data[start : start + chunk] for start in range(0, len(data), chunk)), recorder)
    contents = [b"".join(reader.pieces()) for _ in reader]
    reader.drain()
    recorder.close()
    records = [tarsplit.parse_line(line) for line in b"".join(lines).splitlines()]
    again = [record.payload for record in records if not record.is_file]
    stored = iter(content for content in contents if content)
    rebuilt = b"".join(
        record.payload if not record.is_file else (next(stored) if record.size else b"") for record in records
    )
    assert rebuilt == data
    assert again
    names = [record.name for record in records if record.is_file]
    assert names == [header.name for header, _ in entries]
    for number, line in enumerate(b"".join(lines).splitlines()):
        assert json.loads(line)["position"] == number


@FAST
@given(st.lists(headers(), min_size=1, max_size=3), st.data())
def test_damaged_archives_raise_nothing_but_our_errors(entries: list[Entry], data: st.DataObject) -> None:
    raw = bytearray(layer(*entries))
    for _ in range(data.draw(st.integers(1, 5))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(LaminaError):
        read(bytes(raw))


def fix_checksums(raw: bytearray) -> bytes:
    """Make damaged headers pass: what is behind the checksum must stand on its own."""
    for start in range(0, len(raw) - 511, 512):
        block = bytes(raw[start : start + 512])
        if block[257:262] == b"ustar":
            raw[start + 148 : start + 156] = b"%06o\0 " % tar.checksum(block)
    return bytes(raw)


@pytest.mark.root
@FAST
@given(st.lists(headers(), min_size=1, max_size=4), st.data(), st.sampled_from(DiffForm.ALL))
def test_hostile_archives_stay_inside_and_raise_our_errors(
    entries: list[Entry], data: st.DataObject, form: DiffForm
) -> None:
    raw = bytearray(layer(*entries))
    for _ in range(data.draw(st.integers(0, 6))):
        block = data.draw(st.integers(0, len(raw) // 512 - 1)) * 512
        raw[block + data.draw(st.integers(0, 511))] = data.draw(st.sampled_from(list(b"0123567xgSLK/.\0 \xff7")))
    with tempfile.TemporaryDirectory() as folder:
        with contextlib.suppress(LaminaError):
            unpack(fix_checksums(raw), Path(folder) / "layer", form)
        assert {entry.name for entry in Path(folder).iterdir()} <= {"layer", "layer.tar-split"}
        shutil.rmtree(Path(folder) / "layer")


@FAST
@given(st.sampled_from([b"", b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd", b"BZh9", b"\xfd7zXZ\0"]), st.binary())
def test_any_bytes_decompress_or_raise_our_error(head: bytes, rest: bytes) -> None:
    with contextlib.suppress(LaminaError):
        assert b"".join(decompress([head, rest])) is not None


@settings(max_examples=10, deadline=None)
@given(st.binary(max_size=5000), st.integers(0, 700), st.integers(1, 1 << 20))
def test_gzip_depends_on_neither_cores_nor_cuts(seed: bytes, times: int, cut: int) -> None:
    data = seed * times
    pieces = [data[start : start + cut] for start in range(0, len(data), max(cut, len(data) // 50))]
    data = b"".join(pieces)
    one = b"".join(compress(pieces, workers=1))
    assert one == b"".join(compress([data], workers=3))
    assert gzip.decompress(one) == data


# apply after diff is identity


@st.composite
def trees(draw: st.DrawFn) -> list[Entry]:
    """Entries of a layer that can be extracted: parents exist, nothing comes twice."""
    entries: dict[bytes, Entry] = {}
    directories = [b""]
    for _ in range(draw(st.integers(0, 12))):
        name = draw(st.sampled_from(directories)) + draw(small_component)
        if name in entries:
            continue
        kind = draw(st.sampled_from([tar.REGULAR, tar.REGULAR, tar.DIRECTORY, tar.SYMLINK, tar.FIFO]))
        fields = {
            "mode": draw(st.sampled_from([0o644, 0o755, 0o4711, 0o2750, 0o1777, 0])),
            "uid": draw(st.sampled_from([0, 1, 70000])),
            "gid": draw(st.sampled_from([0, 5])),
            "mtime": draw(st.integers(0, 1 << 31)) * 10**9,
            "xattrs": draw(attributes) if kind in (tar.REGULAR, tar.DIRECTORY) else None,
        }
        content = draw(st.binary(max_size=600)) if kind == tar.REGULAR else b""
        header = Header(name, kind, size=len(content), linkname=b"t" if kind == tar.SYMLINK else b"", **fields)
        entries[name] = (header._replace(name=name + b"/") if kind == tar.DIRECTORY else header, [content])
        if kind == tar.DIRECTORY:
            directories.append(name + b"/")
    return list(entries.values())


def with_links(entries: list[Entry], draw: st.DataObject) -> list[Entry]:
    """Some files once more, as hard links at the end."""
    files = [header for header, _ in entries if header.kind == tar.REGULAR]
    links = []
    for number, header in enumerate(files[: draw.draw(st.integers(0, 2))]):
        link = header._replace(name=b"link%d" % number, kind=tar.HARD_LINK, linkname=header.name, size=0)
        links.append((link, list[bytes]()))
    return entries + links


@pytest.mark.root
@FAST
@given(trees(), st.data())
def test_applying_an_upper_directorys_difference_gives_it_again(entries: list[Entry], data: st.DataObject) -> None:
    marks = [file(b".wh.gone"), file(b"deep/.wh..wh..opq")] if data.draw(st.booleans()) else []
    with tempfile.TemporaryDirectory() as folder:
        first, second = Path(folder) / "1", Path(folder) / "2"
        original = b"".join(archive(with_links(entries, data) + marks))
        unpack(original, first)
        assert reassemble(first) == original
        difference = b"".join(overlay_tar(str(first)))
        result = unpack(difference, second)
        before, after = look(first), look(second)
        for name in ("gone", "deep"):  # created in passing, so its time is not the layer's
            before.pop(name, None)
            after.pop(name, None)
        assert after == before
        assert b"".join(overlay_tar(str(second))) == difference
        assert result.tar_size == len(difference)


@pytest.mark.root
@FAST
@given(trees(), trees())
def test_applying_the_difference_of_two_trees_to_one_gives_the_other(old: list[Entry], new: list[Entry]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        before, after = Path(folder) / "before", Path(folder) / "after"
        unpack(layer(*old), before, DiffForm.SNAPSHOT)
        unpack(layer(*new), after, DiffForm.SNAPSHOT)
        difference = b"".join(snapshot_tar(str(after), str(before)))
        unpack(difference, before, DiffForm.SNAPSHOT)
        assert snapshot_changes(str(after), str(before)) == []
        assert set(look(before)) == set(look(after))

"""Lines of tar-split: names as Go writes them, and sizes without decoding."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from lamina.tarball import tarsplit

_NAMES = [b"plain", b"with \\b and \b", b"quote\"'", b"<&>", "ümlaut \u2028".encode(), b"\xff\xfe", b"a\nb\t", b""]


def _lines(*names: bytes) -> bytes:
    lines: list[bytes] = []
    recorder = tarsplit.Recorder(lines.append)
    for number, name in enumerate(names):
        recorder.segment(b"s" * number)
        recorder.content(b"c" * (number + 1))
        recorder.file(name, number + 1)
    recorder.file(b"empty", 0)
    recorder.close()
    return b"".join(lines)


@pytest.mark.parametrize("name", _NAMES)
def test_a_name_comes_back_as_it_went(name: bytes) -> None:
    (entry,) = [one for one in map(tarsplit.parse_line, _lines(name).splitlines()) if one.is_file and one.size]
    assert entry.name == name


def test_control_characters_have_gos_long_escapes() -> None:
    assert b'"name":"with \\\\b and \\u0008"' in _lines(b"with \\b and \b")
    assert b'"name":"\\u003c\\u0026\\u003e"' in _lines(b"<&>")


def test_the_size_is_the_sum_of_files_and_segments(tmp_path: Path) -> None:
    path = tmp_path / "tar-split.json.gz"
    path.write_bytes(gzip.compress(_lines(*_NAMES)))
    entries = list(tarsplit.read(str(path)))
    assert tarsplit.tar_size(str(path)) == sum(entry.size if entry.is_file else len(entry.payload) for entry in entries)
    assert tarsplit.tar_size(str(path)) == sum(range(len(_NAMES))) + sum(range(1, len(_NAMES) + 1))

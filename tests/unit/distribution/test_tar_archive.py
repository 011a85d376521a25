"""Finding files in an archive without reading their content."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from lamina.distribution.archive import NoSuchArchive, open_archive
from lamina.distribution.content import Archive, InvalidArchive, read_small
from lamina.errors import Corrupt
from support.images import LayerTar, write_tar


def _bytes(archive: Archive, name: str) -> bytes:
    return read_small(archive, name, 1 << 20)


def test_files_are_found_under_their_normal_names(tmp_path: Path) -> None:
    path = write_tar(str(tmp_path / "a.tar"), {"./one": b"1", "/two": b"22", "deep//three": b"333"})
    with open_archive(path, str(tmp_path)) as archive:
        assert [_bytes(archive, name) for name in ("one", "./two", "deep/three")] == [b"1", b"22", b"333"]
        assert not archive.has("four")


def test_links_inside_lead_to_files(tmp_path: Path) -> None:
    tar = LayerTar().file("a/layer.tar", "x").symlink("b/layer.tar", "../a/layer.tar").hardlink("c", "b/layer.tar")
    (tmp_path / "a.tar").write_bytes(tar.bytes())
    with open_archive(str(tmp_path / "a.tar"), str(tmp_path)) as archive:
        assert _bytes(archive, "b/layer.tar") == _bytes(archive, "c") == b"x"


def test_long_names_are_read(tmp_path: Path) -> None:
    name = "d/" * 60 + "file"
    path = write_tar(str(tmp_path / "a.tar"), {name: b"deep"})
    with open_archive(path, str(tmp_path)) as archive:
        assert _bytes(archive, name) == b"deep"


@pytest.mark.parametrize("name", ["../out", "a/../../out", "/../out"])
def test_a_name_that_leads_out_spoils_the_archive(tmp_path: Path, name: str) -> None:
    path = write_tar(str(tmp_path / "a.tar"), {name: b""})
    with pytest.raises(InvalidArchive, match="leads out"), open_archive(path, str(tmp_path)):
        pass


@pytest.mark.parametrize("target", ["/etc/passwd", "../../etc/passwd"])
def test_a_link_that_leads_out_spoils_the_archive(tmp_path: Path, target: str) -> None:
    (tmp_path / "a.tar").write_bytes(LayerTar().symlink("d/link", target).bytes())
    with pytest.raises(InvalidArchive), open_archive(str(tmp_path / "a.tar"), str(tmp_path)):
        pass


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(LayerTar().symlink("a", "b").symlink("b", "a").bytes())
    with open_archive(str(tmp_path / "a.tar"), str(tmp_path)) as archive:
        with pytest.raises(InvalidArchive, match="link"):
            _bytes(archive, "a")


def test_a_truncated_archive_is_refused(tmp_path: Path) -> None:
    path = write_tar(str(tmp_path / "a.tar"), {"file": bytes(5000)})
    data = Path(path).read_bytes()[:2000]
    Path(path).write_bytes(data)
    with pytest.raises(Corrupt, match="unexpected EOF"), open_archive(path, str(tmp_path)):
        pass


def test_two_documents_of_one_name_are_refused(tmp_path: Path) -> None:
    tar = LayerTar().file("manifest.json", "[]").file("./manifest.json", "[]")
    (tmp_path / "a.tar").write_bytes(tar.bytes())
    with pytest.raises(InvalidArchive, match="twice"), open_archive(str(tmp_path / "a.tar"), str(tmp_path)):
        pass


def test_a_pipe_is_copied_to_a_file_without_a_name(tmp_path: Path) -> None:
    data = Path(write_tar(str(tmp_path / "a.tar"), {"file": b"content"})).read_bytes()
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with open_archive(io.BytesIO(data), str(scratch)) as archive:
        assert list(scratch.iterdir()) == []
        assert _bytes(archive, "file") == b"content"


@pytest.mark.parametrize("form", ["gz", "bz2", "xz", "zst"])
def test_a_compressed_archive_is_read(tmp_path: Path, form: str) -> None:
    import bz2
    import gzip
    import lzma

    from backports import zstd

    compress = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress, "zst": zstd.compress}[form]
    data = Path(write_tar(str(tmp_path / "a.tar"), {"file": b"content" * 1000})).read_bytes()
    (tmp_path / "packed").write_bytes(compress(data))
    with open_archive(str(tmp_path / "packed"), str(tmp_path)) as archive:
        assert _bytes(archive, "file") == b"content" * 1000


def test_a_stream_is_read_from_where_it_stands(tmp_path: Path) -> None:
    data = Path(write_tar(str(tmp_path / "a.tar"), {"file": b"content"})).read_bytes()
    (tmp_path / "b").write_bytes(b"preamble" + data)
    with open(tmp_path / "b", "rb") as stream:
        stream.seek(8)
        with open_archive(stream, str(tmp_path)) as archive:
            assert _bytes(archive, "file") == b"content"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(NoSuchArchive, match="nothing-here: no such file or directory"):
        with open_archive(str(tmp_path / "nothing-here"), str(tmp_path)):
            pass


def test_a_directory_serves_links_inside_and_refuses_links_out(tmp_path: Path) -> None:
    root = tmp_path / "layout"
    (root / "a").mkdir(parents=True)
    (root / "a" / "file").write_bytes(b"x")
    (root / "inside").symlink_to("a/file")
    (root / "outside").symlink_to("/etc/passwd")
    (root / "above").symlink_to("../secret")
    (tmp_path / "secret").write_bytes(b"secret")
    with open_archive(str(root), str(tmp_path)) as archive:
        assert _bytes(archive, "inside") == b"x"
        for name in ("outside", "above", "../secret", "a", "missing"):
            with pytest.raises(InvalidArchive):
                _bytes(archive, name)

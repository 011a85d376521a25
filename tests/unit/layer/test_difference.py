"""What a layer changes, as ``docker diff`` lists it and as a tar."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lamina.errors import Corrupt, Unsupported
from lamina.graphdriver.contract import DiffForm
from lamina.layer.changes import overlay_changes, snapshot_changes
from lamina.layer.difference import overlay_tar, snapshot_tar
from support.layertar import THEN, directory, file, layer, look, read, symlink, unpack

DIRECTORIES = (directory(b"etc"), directory(b"usr"), directory(b"usr/bin"))


def lines(found: list[tuple[str, bytes]]) -> list[str]:
    return [f"{kind} {os.fsdecode(path)}" for kind, path in found]


def test_tree_changes_follow_dockers_rules(tmp_path: Path) -> None:
    before = (
        *DIRECTORIES,
        file(b"etc/keep", b"1"),
        file(b"etc/gone", b"1"),
        file(b"usr/bin/tool", b"1"),
        file(b"x", b"1"),
    )
    after = (
        *DIRECTORIES,
        file(b"etc/keep", b"1", mtime=THEN + 5),  # less than a second, and a tar may have cut it
        file(b"usr/bin/tool", b"1", mode=0o755),
        directory(b"x"),
        file(b"x/inside", b"2"),
        symlink(b"link", b"x"),
    )
    unpack(layer(*before), tmp_path / "old", DiffForm.SNAPSHOT)
    unpack(layer(*after), tmp_path / "new", DiffForm.SNAPSHOT)
    found = snapshot_changes(str(tmp_path / "new"), str(tmp_path / "old"))
    assert lines(found) == [
        "C /etc",
        "D /etc/gone",
        "A /link",
        "C /usr",
        "C /usr/bin",
        "C /usr/bin/tool",
        "C /x",
        "A /x/inside",
    ]


def test_tree_difference_applies_to_the_old_tree(tmp_path: Path) -> None:
    unpack(
        layer(*DIRECTORIES, file(b"etc/gone", b"1"), directory(b"d"), file(b"d/e")), tmp_path / "old", DiffForm.SNAPSHOT
    )
    unpack(layer(*DIRECTORIES, file(b"etc/new", b"2"), file(b"d", b"now a file")), tmp_path / "new", DiffForm.SNAPSHOT)
    data = b"".join(snapshot_tar(str(tmp_path / "new"), str(tmp_path / "old")))
    names = [header.name for header, _ in read(data)]
    assert names == [b"etc/.wh.gone", b"d", b"etc/", b"etc/new"]
    unpack(data, tmp_path / "old", DiffForm.SNAPSHOT)
    assert look(tmp_path / "old") == look(tmp_path / "new")


def test_everything_is_added_to_nothing(tmp_path: Path) -> None:
    unpack(layer(*DIRECTORIES, file(b"etc/x")), tmp_path / "new", DiffForm.SNAPSHOT)
    assert lines(snapshot_changes(str(tmp_path / "new"), None)) == ["A /etc", "A /etc/x", "A /usr", "A /usr/bin"]


@pytest.mark.root
def test_overlay_changes_follow_dockers_rules(tmp_path: Path) -> None:
    unpack(layer(*DIRECTORIES, file(b"etc/hosts", b"1"), file(b"usr/bin/tool", b"1")), tmp_path / "base")
    unpack(layer(directory(b"opt"), file(b"opt/app", b"1")), tmp_path / "middle")
    upper = (
        directory(b"etc"),
        file(b"etc/hosts", b"22"),
        directory(b"usr"),
        directory(b"usr/bin"),
        file(b"usr/bin/.wh.tool"),
        directory(b"opt"),
        file(b"opt/.wh..wh..opq"),
        file(b"opt/new", b"1"),
        directory(b"new"),
        directory(b"new/deep"),
    )
    unpack(layer(*upper), tmp_path / "upper")
    found = overlay_changes(str(tmp_path / "upper"), [str(tmp_path / "middle"), str(tmp_path / "base")])
    assert lines(found) == [
        "C /etc",
        "C /etc/hosts",
        "A /new",
        "A /new/deep",
        "C /opt",
        "D /opt/app",
        "A /opt/new",
        "C /usr",
        "C /usr/bin",
        "D /usr/bin/tool",
    ]


@pytest.mark.root
def test_lower_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "host").mkdir()
    (tmp_path / "host/secret").touch()
    (tmp_path / "lower").mkdir()
    (tmp_path / "lower/d").symlink_to(tmp_path / "host")
    unpack(layer(directory(b"d"), file(b"d/secret")), tmp_path / "upper")
    assert lines(overlay_changes(str(tmp_path / "upper"), [str(tmp_path / "lower")])) == ["C /d", "A /d/secret"]


@pytest.mark.root
def test_upper_directory_becomes_a_layer_with_marks(tmp_path: Path) -> None:
    entries = (
        directory(b"b", mtime=THEN + 999),
        file(b"b/.wh..wh..opq"),
        file(b"b/f", b"x", xattrs={b"user.a": b"1"}),
        file(b".wh.gone"),
    )
    unpack(layer(*entries), tmp_path / "upper")
    os.link(tmp_path / "upper/b/f", tmp_path / "upper/b/g")
    os.setxattr(tmp_path / "upper/b", "trusted.overlay.origin", b"whatever")
    packed = read(b"".join(overlay_tar(str(tmp_path / "upper"))))
    found = [(header.name, header.kind, header.linkname, header.mtime, header.xattrs) for header, _ in packed]
    assert found[1:] == [
        (b"b/.wh..wh..opq", b"0", b"", 0, None),
        (b"b/f", b"0", b"", THEN, {b"user.a": b"1"}),
        (b"b/g", b"1", b"b/f", THEN, {b"user.a": b"1"}),
        (b".wh.gone", b"0", b"", 0, None),
    ]
    assert found[0][0] == b"b/"
    assert found[0][4] is None


@pytest.mark.root
@pytest.mark.parametrize("attribute", ["trusted.overlay.redirect", "trusted.overlay.metacopy"])
def test_what_depends_on_another_layer_is_refused(tmp_path: Path, attribute: str) -> None:
    (tmp_path / "upper").mkdir()
    (tmp_path / "upper/f").touch()
    os.setxattr(tmp_path / "upper/f", attribute, b"/x")
    with pytest.raises(Unsupported, match="'f'"):
        list(overlay_tar(str(tmp_path / "upper")))


def test_file_named_like_a_whiteout_is_refused_not_turned_into_one(tmp_path: Path) -> None:
    (tmp_path / ".wh.x").touch()
    with pytest.raises(Unsupported, match=r"\.wh\.x"):
        list(overlay_tar(str(tmp_path)))


def test_sockets_are_left_out(tmp_path: Path) -> None:
    import socket

    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        assert read(b"".join(overlay_tar(str(tmp_path)))) == []


def test_missing_directory_is_corrupt(tmp_path: Path) -> None:
    with pytest.raises(Corrupt):
        list(overlay_tar(str(tmp_path / "missing")))

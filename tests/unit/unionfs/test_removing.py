"""Names that go, or should have gone."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from lamina.linux.fuse_protocol import ATTRIBUTES, HEADER_OUT_SIZE
from lamina.unionfs.changes import Changes, open_changes
from lamina.unionfs.fuse.session import Session
from lamina.unionfs.making import Creator
from lamina.unionfs.node import Node
from lamina.unionfs.options import MountOptions
from lamina.unionfs.tree import Tree

LINKS = 10


class Opened:
    """A union of a lower directory with ``file`` and ``other``, and the session of a server."""

    def __init__(self, base: Path) -> None:
        for name in ("lower", "upper", "work"):
            (base / name).mkdir()
        for name in ("file", "other"):
            (base / "lower" / name).write_text(name)
        self.base = base
        self.tree = Tree(MountOptions((f"{base}/lower",), f"{base}/upper", f"{base}/work"))
        changes = open_changes(self.tree)
        assert isinstance(changes, Changes)
        self.changes = changes
        self.session = Session(self.tree, changes, -1, bytearray(8192))

    def known(self, name: str) -> Node:
        """The node of a name that a client was told of."""
        node = self.tree.lookup(self.tree.root, name.encode())
        assert node is not None
        self.session.count(node)
        return node

    def links(self, node: Node) -> int:
        found = ATTRIBUTES.unpack_from(self.session.attribute_reply(1, node), HEADER_OUT_SIZE + 16)
        return int(found[LINKS])


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    made = Opened(tmp_path)
    yield made
    made.changes.close()
    made.tree.close()


def test_a_file_that_could_not_be_removed_keeps_its_link(opened: Opened) -> None:
    node = opened.known("file")
    (opened.base / "upper/file").touch()  # where the whiteout would be
    with pytest.raises(FileExistsError):
        opened.changes.removing.unlink(opened.tree.root, b"file")
    assert opened.links(node) == 1


def test_a_file_that_could_not_be_replaced_keeps_its_link(opened: Opened) -> None:
    node = opened.known("file")
    opened.known("other")
    (opened.base / "upper/file").mkdir()  # no file can replace that
    with pytest.raises(OSError, match="directory"):
        opened.changes.renaming.rename(opened.tree.root, b"other", opened.tree.root, b"file", 0)
    assert opened.links(node) == 1


def test_what_was_removed_and_made_again_leaves_nothing_in_the_work_directory(opened: Opened) -> None:
    root = opened.tree.root
    creator = Creator(os.geteuid(), os.getegid())
    opened.changes.removing.unlink(root, b"file")
    os.close(opened.changes.making.file(root, b"file", 0o640, os.O_WRONLY, creator).descriptor)
    status = (opened.base / "upper/file").stat()
    assert stat.S_IMODE(status.st_mode) == 0o640
    assert (status.st_uid, status.st_gid) == creator[:2]
    opened.changes.removing.unlink(root, b"file")
    assert list((opened.base / "work/work").iterdir()) == []
    assert (opened.base / "upper/file").is_char_device()

"""What the server of a union does between requests, asked without a mount: it may save time and must not show."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lamina.linux.fuse_protocol import (
    ATTRIBUTES,
    FORGET_IN,
    HEADER_IN,
    HEADER_IN_SIZE,
    HEADER_OUT,
    HEADER_OUT_SIZE,
    MKDIR_IN,
    READ_IN,
    SETATTR_IN,
    Opcode,
    SetAttribute,
)
from lamina.unionfs.changes import Changes, open_changes
from lamina.unionfs.fuse.directories import Directories
from lamina.unionfs.fuse.metadata import Metadata
from lamina.unionfs.fuse.names import Names
from lamina.unionfs.fuse.session import Session
from lamina.unionfs.node import DirectoryNode, Node
from lamina.unionfs.options import MountOptions
from lamina.unionfs.tree import Tree

LONG_AGO = 1_000_000_000
_ATTRIBUTES_AT = HEADER_OUT_SIZE + 16
_UNIQUE = 77


class Serving:
    """A session about one union whose lower directory has ``shared/file``, which the upper one has not."""

    def __init__(self, base: Path) -> None:
        for name in ("lower/shared", "upper/shared", "work"):
            (base / name).mkdir(parents=True)
        (base / "lower/shared/file").touch()
        self.upper = base / "upper"
        self.tree = Tree(MountOptions((str(base / "lower"),), str(self.upper), str(base / "work")))
        self.changes = open_changes(self.tree)
        assert isinstance(self.changes, Changes)
        self.session = Session(self.tree, self.changes, -1, bytearray(8192))
        groups = (Names(self.session), Metadata(self.session), Directories(self.session))
        self._handlers = {opcode: handler for group in groups for opcode, handler in group.handlers().items()}

    def ask(self, opcode: Opcode, node: Node, body: bytes = b"") -> bytes:
        """The reply to a request of the caller's own; then nothing is to be done for a while."""
        length = HEADER_IN_SIZE + len(body)
        header = HEADER_IN.pack(length, opcode, _UNIQUE, node.id, os.geteuid(), os.getegid(), os.getpid(), 0, 0)
        self.session.buffer[:length] = header + body
        reply = bytes(self._handlers[opcode](node, _UNIQUE, length) or b"")
        self.session.use_spare_time()
        return reply

    def look_up(self, parent: DirectoryNode, name: str) -> Node:
        self.ask(Opcode.LOOKUP, parent, name.encode() + b"\0")
        return parent.children[name.encode()]

    def make(self, parent: DirectoryNode, name: str) -> None:
        assert len(self.ask(Opcode.MKDIR, parent, MKDIR_IN.pack(0o755, 0) + name.encode() + b"\0")) > HEADER_OUT_SIZE

    def set(self, node: Node, valid: int, mode: int) -> None:
        body = SETATTR_IN.pack(valid, 0, 0, 0, 0, LONG_AGO, LONG_AGO, 0, 0, 0, 0, mode, 0, 0, 0, 0)
        assert len(self.ask(Opcode.SETATTR, node, body)) > HEADER_OUT_SIZE

    def told(self, node: Node) -> tuple[int, int, int, int]:
        """Mode, links, and access and modification time in seconds, as ``GETATTR`` tells them."""
        reply = self.ask(Opcode.GETATTR, node, bytes(16))
        assert HEADER_OUT.unpack_from(reply) == (len(reply), 0, _UNIQUE)
        _, _, _, access, modify, _, _, _, _, mode, links, *_ = ATTRIBUTES.unpack_from(reply, _ATTRIBUTES_AT)
        return mode, links, access, modify

    def close(self) -> None:
        self.changes.close()
        self.tree.close()


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    made = Serving(tmp_path)
    yield made
    made.close()


def directory(serving: Serving, name: str = "shared") -> DirectoryNode:
    found = serving.look_up(serving.tree.root, name)
    assert isinstance(found, DirectoryNode)
    return found


def actual(path: Path, *, links: int = 1) -> tuple[int, int, int, int]:
    status = path.stat()
    return status.st_mode, links, int(status.st_atime), int(status.st_mtime)


def test_attributes_of_a_directory_that_changed_are_ready_before_they_are_asked_for(serving: Serving) -> None:
    node, path = directory(serving), serving.upper / "shared"
    serving.make(node, "new")
    before = actual(path)
    path.chmod(0o700)  # only who looks again sees that
    assert serving.told(node) == before
    assert before != actual(path)


def chmod(serving: Serving, node: DirectoryNode) -> None:
    serving.set(node, int(SetAttribute.MODE), 0o711)


def set_times(serving: Serving, node: DirectoryNode) -> None:
    serving.set(node, int(SetAttribute.ATIME | SetAttribute.MTIME), 0)


def make_another(serving: Serving, node: DirectoryNode) -> None:
    os.utime(serving.upper / "shared", (LONG_AGO, LONG_AGO))
    serving.make(node, "another")


def change_below(serving: Serving, node: DirectoryNode) -> None:
    os.utime(serving.upper / "shared", (LONG_AGO, LONG_AGO))
    serving.set(serving.look_up(node, "file"), int(SetAttribute.MODE), 0o600)  # copied up into the directory


def remove_below(serving: Serving, node: DirectoryNode) -> None:
    os.utime(serving.upper / "shared", (LONG_AGO, LONG_AGO))
    serving.ask(Opcode.RMDIR, node, b"new\0")


def read(serving: Serving, node: DirectoryNode) -> None:
    os.utime(serving.upper / "shared", (LONG_AGO, LONG_AGO))
    serving.ask(Opcode.READDIR, node, READ_IN.pack(0, 0, 4096, 0, 0, 0, 0))


def remove_an_attribute(serving: Serving, node: DirectoryNode) -> None:
    os.setxattr(serving.upper / "shared", "user.kind", b"x")
    (serving.upper / "shared").chmod(0o700)
    serving.ask(Opcode.REMOVEXATTR, node, b"user.kind\0")


@pytest.mark.parametrize(
    "change", [chmod, set_times, make_another, change_below, remove_below, read, remove_an_attribute]
)
def test_what_was_made_ready_is_not_told_after_another_change(
    serving: Serving, change: Callable[[Serving, DirectoryNode], None]
) -> None:
    node = directory(serving)
    serving.make(node, "new")
    change(serving, node)
    assert serving.told(node) == actual(serving.upper / "shared")


def test_a_directory_that_went_meanwhile_is_not_made_ready(serving: Serving) -> None:
    serving.make(serving.tree.root, "gone")
    node = directory(serving, "gone")
    serving.session.changed(node)
    serving.ask(Opcode.RMDIR, serving.tree.root, b"gone\0")
    mode, links, _, _ = serving.told(node)
    assert (stat.S_IFMT(mode), links) == (stat.S_IFDIR, 0)


def test_what_the_kernel_forgets_is_let_go_when_there_is_time(serving: Serving) -> None:
    node = serving.look_up(directory(serving), "file")
    serving.session.buffer[: HEADER_IN_SIZE + 8] = bytes(HEADER_IN_SIZE) + FORGET_IN.pack(1)
    Names(serving.session).handlers()[Opcode.FORGET](node, _UNIQUE, HEADER_IN_SIZE + 8)
    assert node.id in serving.session.nodes
    serving.session.use_spare_time()
    assert node.id not in serving.session.nodes


def test_a_node_that_is_looked_up_again_before_it_is_let_go_stays(serving: Serving) -> None:
    parent = directory(serving)
    node = serving.look_up(parent, "file")
    serving.session.defer(serving.session.let_go, node, 1)
    assert serving.look_up(parent, "file") is node
    assert serving.session.nodes[node.id] is node


def test_not_much_is_deferred_without_a_rest(serving: Serving) -> None:
    done: list[int] = []
    for number in range(1000):
        serving.session.defer(lambda node, argument: done.append(argument), serving.tree.root, number)
    assert len(done) > 900
    assert done == sorted(done)

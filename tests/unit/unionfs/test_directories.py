"""What readers of a directory of a mounted union meet while it changes, asked without a mount."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from lamina.linux.fuse_protocol import DIRENT, HEADER_IN_SIZE, HEADER_OUT_SIZE, READ_IN, ROOT_ID, Opcode
from lamina.unionfs.fuse.directories import Directories
from lamina.unionfs.fuse.session import Session
from lamina.unionfs.options import MountOptions
from lamina.unionfs.tree import Tree

NAMES = [f"file{number:03}" for number in range(60)]


class Reading:
    """A session about one lower directory with :data:`NAMES`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        for name in NAMES:
            (directory / name).touch()
        self.tree = Tree(MountOptions((str(directory),)))
        self.session = Session(self.tree, None, -1, bytearray(4096))
        self._handlers = Directories(self.session).handlers()

    def page(self, offset: int, size: int = 400) -> list[tuple[str, int]]:
        """Names from ``offset`` on, as many as fit, and where each ends."""
        READ_IN.pack_into(self.session.buffer, HEADER_IN_SIZE, 0, offset, size, 0, 0, 0, 0)
        reply = self._handlers[Opcode.READDIR](self.tree.root, 7, HEADER_IN_SIZE + READ_IN.size)
        assert reply is not None
        assert struct.unpack_from("=IiQ", reply) == (len(reply), 0, 7)
        assert len(reply) <= size + HEADER_OUT_SIZE
        found = []
        place = HEADER_OUT_SIZE
        while place < len(reply):
            _, after, length, _ = DIRENT.unpack_from(reply, place)
            name = bytes(reply[place + DIRENT.size : place + DIRENT.size + length]).decode()
            found.append((name, after))
            place += (DIRENT.size + length + 7) // 8 * 8
        return found

    def rest(self, offset: int) -> list[str]:
        """All names from ``offset`` to the end."""
        names = []
        while page := self.page(offset):
            names += [name for name, _ in page]
            offset = page[-1][1]
        return names


@pytest.fixture
def reading(tmp_path: Path) -> Iterator[Reading]:
    made = Reading(tmp_path)
    yield made
    made.tree.close()


def test_pages_together_are_the_directory(reading: Reading) -> None:
    assert sorted(reading.rest(0)) == sorted([".", "..", *NAMES])


def test_a_name_that_stays_is_met_once_whatever_another_reader_sees(reading: Reading) -> None:
    first = reading.page(0)
    (reading.directory / NAMES[3]).unlink()
    (reading.directory / NAMES[50]).unlink()
    (reading.directory / "added").touch()
    assert "added" in reading.rest(0)
    met = [name for name, _ in first] + reading.rest(first[-1][1])
    assert len(met) == len(set(met))
    assert set(met) >= {*NAMES} - {NAMES[3], NAMES[50]}


def test_a_listing_is_made_again_for_the_next_reader(reading: Reading) -> None:
    reading.rest(0)
    (reading.directory / NAMES[0]).unlink()
    assert NAMES[0] not in reading.rest(0)


def test_the_kernel_is_told_to_open_no_directory_where_it_can_do_without(reading: Reading) -> None:
    handler = Directories(reading.session).handlers()[Opcode.OPENDIR]
    assert struct.unpack_from("=Ii", bytes(handler(reading.tree.root, 7, HEADER_IN_SIZE) or b""))[1] == 0
    reading.session.opens_no_directories = True
    reply = bytes(handler(reading.session.nodes[ROOT_ID], 7, HEADER_IN_SIZE) or b"")
    assert os.strerror(-struct.unpack_from("=Ii", reply)[1]) == "Function not implemented"

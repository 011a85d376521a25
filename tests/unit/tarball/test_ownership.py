"""Owners and capabilities of files whose owners on the host are others than in containers."""

from __future__ import annotations

import struct

from lamina.owners import Owners, Range
from lamina.tarball import ownership
from lamina.tarball.header import Header

OWNERS = Owners((Range(0, 100_000, 65_536),), (Range(0, 200_000, 65_536),))
#: Of linux/capability.h: revision and effective flag, then twice what is permitted and what is inheritable.
_IN_ARCHIVES = struct.pack("<5I", 0x0200_0001, 1 << 13, 0, 0, 0)
_ON_HOST = struct.pack("<6I", 0x0300_0001, 1 << 13, 0, 0, 0, 100_000)


def test_a_capability_gets_the_namespaces_root_and_loses_it_again() -> None:
    header = Header(b"f", uid=5, gid=6, xattrs={b"security.capability": _IN_ARCHIVES, b"user.x": b"1"})
    here = ownership.on_host(header, OWNERS)
    assert (here.uid, here.gid) == (100_005, 200_006)
    assert here.xattrs == {b"security.capability": _ON_HOST, b"user.x": b"1"}
    assert ownership.inside(here, OWNERS) == header


def test_what_is_no_known_capability_stays() -> None:
    for value in (b"", b"\x01", _IN_ARCHIVES + b"x", b"\xff" * 20):
        header = Header(b"f", xattrs={b"security.capability": value})
        assert (ownership.on_host(header, OWNERS).xattrs or {})[b"security.capability"] == value

"""The compiled default filter: what it decides does not depend on how it looks system calls up."""

from __future__ import annotations

import itertools
import json
import os
import struct

import pytest

from lamina.linux import seccomp
from lamina.oci.runtime import DEFAULT_CAPABILITIES
from lamina.runtime.seccomp import ProfileUnavailable, default_profile

# linux/audit.h
_ARCHITECTURES = {"x86_64": 0xC000003E, "i386": 0x40000003, "aarch64": 0xC00000B7, "arm": 0x40000028}
#: What calls of the x32 ABI have in their numbers.
_X32 = 0x40000000
#: On x86_64: socket, clone, personality, unshare, setns, clone3.
_CONDITIONAL = (41, 56, 135, 272, 308, 435)
#: Of the conditions in the profile: ``personality``, ``clone`` and ``socket`` have some.
_ARGUMENTS = (0, 1, 8, 16, 38, 40, 0x20000, 0x20008, 0xFFFFFFFF, 0x7E020000, 0x10000000, 1 << 32)


def decide(program: bytes, data: bytes) -> int:
    """What the kernel's classic BPF machine returns (Documentation/networking/filter.rst)."""
    instructions = list(struct.iter_unpack("=HBBI", program))
    accumulator = position = 0
    while True:
        code, if_true, if_false, value = instructions[position]
        position += 1
        if code == 0x20:  # ld [k]
            (accumulator,) = struct.unpack_from("=I", data, value)
        elif code == 0x54:  # and #k
            accumulator &= value
        elif code == 0x05:  # ja
            position += value
        elif code == 0x06:  # ret #k
            return value
        else:
            holds = {0x15: accumulator == value, 0x25: accumulator > value, 0x35: accumulator >= value}
            position += if_true if holds[code] else if_false


@pytest.fixture(scope="module")
def programs() -> tuple[bytes, bytes]:
    """One after the other, and as a tree."""
    try:
        profile = json.loads(default_profile(DEFAULT_CAPABILITIES))
        return seccomp.compile_profile(profile, as_tree=False), seccomp.compile_profile(profile)
    except (ProfileUnavailable, seccomp.NotCompilable) as reason:
        pytest.skip(f"needs libseccomp2 and the profile: {reason}")


def test_a_tree_decides_as_a_list_does(programs: tuple[bytes, bytes]) -> None:
    plain, tree = programs
    assert plain != tree
    decisions = set()
    numbers = (*range(470), *range(_X32, _X32 + 600, 31), 0xFFFFFFFF)
    for architecture, number in itertools.product(_ARCHITECTURES.values(), numbers):
        data = struct.pack("=IIQ6Q", number, architecture, 0, 0, 0, 0, 0, 0, 0)
        decisions.add(decide(plain, data))
        assert decide(tree, data) == decide(plain, data), (hex(architecture), number)
    assert len(decisions) > 2  # allowed, refused, killed


def test_a_tree_decides_by_arguments_as_a_list_does(programs: tuple[bytes, bytes]) -> None:
    plain, tree = programs
    decisions = set()
    for number, *arguments in itertools.product(_CONDITIONAL, _ARGUMENTS, _ARGUMENTS[:4]):
        data = struct.pack("=IIQ6Q", number, _ARCHITECTURES["x86_64"], 0, *arguments, 0, 0, 0, 0)
        decisions.add((number, decide(plain, data)))
        assert decide(tree, data) == decide(plain, data), (number, arguments)
    assert len(decisions) > len(_CONDITIONAL)


def test_a_wrong_decision_would_be_seen(programs: tuple[bytes, bytes]) -> None:
    """The machine above tells the architecture of this host's calls from others."""
    native = _ARCHITECTURES.get(os.uname().machine)
    if native is None:
        pytest.skip(f"knows nothing of {os.uname().machine}")
    read = {"x86_64": 0, "aarch64": 63}[os.uname().machine]
    allowed = decide(programs[1], struct.pack("=IIQ6Q", read, native, 0, *[0] * 6))
    assert allowed == 0x7FFF0000  # SECCOMP_RET_ALLOW

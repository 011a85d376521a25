"""Compiled seccomp filters are kept, and a kept one counts only when nobody can have changed it."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path

import pytest

from lamina.linux import seccomp
from lamina.runtime import filters
from lamina.runtime.seccomp import ProfileUnavailable

PROFILE = {
    "defaultAction": "SCMP_ACT_ERRNO",
    "defaultErrnoRet": 38,
    "archMap": [],
    "syscalls": [
        {"names": ["read", "write", "no_such_call"], "action": "SCMP_ACT_ALLOW"},
        {
            "names": ["personality"],
            "action": "SCMP_ACT_ALLOW",
            "args": [{"index": 0, "value": 8, "op": "SCMP_CMP_EQ"}],
        },
        {"names": ["mount"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}},
    ],
}
INSTRUCTION = 8  # bytes of a struct sock_filter


@pytest.fixture
def profile(tmp_path: Path) -> str:
    path = tmp_path / "seccomp.json"
    path.write_text(json.dumps(PROFILE))
    return str(path)


@pytest.fixture(autouse=True)
def _need_libseccomp() -> None:
    try:
        seccomp.library_version()
    except seccomp.NotCompilable as reason:
        pytest.skip(f"needs libseccomp2: {reason}")


def test_a_filter_is_compiled_once(profile: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = filters.default_filter((), str(tmp_path), profile)
    program = base64.b64decode(first.program)
    assert len(program) % INSTRUCTION == 0
    assert len(program) > INSTRUCTION
    assert "no_such_call" in first.profile.decode()  # the runtime may know it

    def fail(profile: object) -> bytes:
        raise AssertionError("compiled again")

    monkeypatch.setattr(seccomp, "compile_profile", fail)
    assert filters.default_filter((), str(tmp_path), profile) == first


def test_other_capabilities_are_another_filter(profile: str, tmp_path: Path) -> None:
    plain = filters.default_filter((), str(tmp_path), profile)
    more = filters.default_filter(("CAP_SYS_ADMIN",), str(tmp_path), profile)
    assert plain.program != more.program
    assert "mount" not in plain.profile.decode()


def test_a_changed_profile_is_compiled_again(profile: str, tmp_path: Path) -> None:
    before = filters.default_filter((), str(tmp_path), profile)
    Path(profile).write_text(json.dumps({**PROFILE, "syscalls": []}))
    assert filters.default_filter((), str(tmp_path), profile).program != before.program


@pytest.mark.parametrize("damage", ["content", "mode", "link", "cut"])
def test_a_kept_filter_that_may_be_somebody_elses_does_not_count(profile: str, tmp_path: Path, damage: str) -> None:
    good = filters.default_filter((), str(tmp_path), profile)
    (kept,) = tmp_path.glob("seccomp-*")
    content = kept.read_bytes()
    if damage == "content":
        kept.write_bytes(content[:-8] + b"AAAAAAAA")
    elif damage == "mode":
        kept.chmod(0o666)
        os.utime(kept, (0, 0))
    elif damage == "link":
        kept.rename(tmp_path / "elsewhere")
        kept.symlink_to(tmp_path / "elsewhere")
    else:
        os.truncate(kept, 100)
    assert filters.default_filter((), str(tmp_path), profile) == good
    assert not kept.is_symlink()
    assert kept.stat().st_mode & 0o777 == 0o600
    assert kept.read_bytes() == content


def test_without_a_place_nothing_is_compiled(profile: str) -> None:
    assert filters.default_filter((), None, profile).program == ""


def test_what_can_not_be_compiled_is_left_to_the_runtime(tmp_path: Path) -> None:
    rule = {"names": ["read"], "action": "SCMP_ACT_NOTIFY"}
    path = tmp_path / "seccomp.json"
    path.write_text(json.dumps({**PROFILE, "syscalls": [rule]}))
    assert filters.default_filter((), str(tmp_path), str(path)).program == ""


def test_a_place_that_can_not_be_written_only_costs_time(profile: str, tmp_path: Path) -> None:
    assert filters.default_filter((), str(tmp_path / "missing"), profile).program


def test_a_missing_profile_is_no_profile_and_so_an_error(tmp_path: Path) -> None:
    with pytest.raises(ProfileUnavailable):
        filters.default_filter((), str(tmp_path), str(tmp_path / "none"))

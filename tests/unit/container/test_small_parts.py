"""Times, signals, names, the runtime's messages, frames, the seccomp profile."""

from __future__ import annotations

import os

import pytest

from lamina.container import frames, names, signals
from lamina.container.attachment import Attachment, MonitorLost, StartFailed
from lamina.container.names import InvalidName
from lamina.container.signals import InvalidSignal
from lamina.runtime import program, seccomp


@pytest.mark.parametrize(
    ("text", "number"), [("9", 9), ("KILL", 9), ("sigterm", 15), ("SIGRTMIN+3", 37), ("RTMAX-1", 63), ("RTMIN", 34)]
)
def test_signals_have_names_and_numbers(text: str, number: int) -> None:
    assert signals.number(text) == number


@pytest.mark.parametrize("text", ["FOO", "0", "65", "", "-9", "SIGRTMIN+99", "RTMIN*2", "_DFL"])
def test_other_words_are_no_signals(text: str) -> None:
    with pytest.raises(InvalidSignal, match="Invalid signal"):
        signals.number(text)


@pytest.mark.parametrize("text", ["a", "_x", "-x", "a b", "ä1", "", "a/b", "../x"])
def test_names_follow_dockers_grammar(text: str) -> None:
    with pytest.raises(InvalidName):
        names.check(text)


def test_suggested_names_are_valid() -> None:
    assert all(names.check(names.suggest(attempt)) for attempt in range(50))


@pytest.mark.parametrize(
    ("message", "command", "code", "words"),
    [
        (
            "executable file `x` not found in $PATH: No such file or directory",
            "x",
            127,
            'exec: "x": executable file not',
        ),
        ("executable file `/x` not found in $PATH: No such file or directory", "/x", 127, "stat /x: no such file"),
        ("open executable: Permission denied", "/x", 126, 'exec: "/x": permission denied'),
        ("open executable: Operation not permitted", "/etc", 126, 'exec: "/etc": permission denied'),
        (
            'runc run failed: unable to start container process: exec: "x": executable file not found in $PATH',
            "x",
            127,
            "executable file not found in $PATH",
        ),
        ("mount `tmpfs` to `/x`: Invalid argument", "/x", 125, "mount `tmpfs`"),
        ("", "x", 125, "no reason"),
    ],
)
def test_a_runtimes_complaint_becomes_dockers(message: str, command: str, code: int, words: str) -> None:
    reason, found = program.explain(message, command)
    assert found == code
    assert words in reason


def test_a_missing_runtime_says_what_to_install() -> None:
    with pytest.raises(program.RuntimeMissing, match="install crun or runc"):
        program.find(search=("/nonexistent",))


def test_frames_keep_their_borders() -> None:
    ours, theirs = frames.pair()
    attachment = Attachment(ours)
    for frame in (frames.STARTED, frames.OUT + b"a" * frames.CHUNK, frames.ERR + b"b", frames.exited(3)):
        os.write(theirs, frame)
    attachment.wait_until_started()
    out, err = os.pipe(), os.pipe()
    try:
        assert attachment.relay(None, out[1], err[1]) == 3
        assert os.read(out[0], frames.CHUNK * 2) == b"a" * frames.CHUNK
        assert os.read(err[0], 10) == b"b"
    finally:
        for descriptor in (*out, *err, theirs):
            os.close(descriptor)


def test_a_start_that_failed_tells_why() -> None:
    ours, theirs = frames.pair()
    attachment = Attachment(ours)
    os.write(theirs, frames.Failure("no such program", 127).encode())
    with pytest.raises(StartFailed, match="no such program") as caught:
        attachment.wait_until_started()
    assert caught.value.code == 127
    os.close(theirs)
    with pytest.raises(MonitorLost):
        attachment.wait_until_started()
    attachment.close()


def test_an_attached_client_is_told_why_a_monitor_failed() -> None:
    ours, theirs = frames.pair()
    attachment = Attachment(ours)
    os.write(theirs, frames.Failure("the container's monitor failed: KeyError: 1", 125).encode())
    with pytest.raises(MonitorLost, match="KeyError: 1"):
        attachment.relay(None, None, None)
    os.close(theirs)
    attachment.close()


def test_the_seccomp_profile_depends_on_capabilities() -> None:
    profile = {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": 38,
        "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}],
        "syscalls": [
            {"names": ["read"], "action": "SCMP_ACT_ALLOW"},
            {"names": ["chroot"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_CHROOT"]}},
            {"names": ["chroot"], "action": "SCMP_ACT_ERRNO", "excludes": {"caps": ["CAP_SYS_CHROOT"]}, "errnoRet": 1},
            {"names": ["none"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["no-such-machine"]}},
            {"names": ["new"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "99.0"}},
        ],
    }
    with_it = seccomp.convert(profile, ("CAP_SYS_CHROOT",))
    without = seccomp.convert(profile, ())
    assert [(rule["names"], rule["action"]) for rule in with_it["syscalls"]] == [
        (["read"], "SCMP_ACT_ALLOW"),
        (["chroot"], "SCMP_ACT_ALLOW"),
    ]
    assert without["syscalls"][1] == {"names": ["chroot"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1}
    assert without["defaultErrnoRet"] == 38


def test_without_a_seccomp_profile_nothing_runs() -> None:
    with pytest.raises(seccomp.ProfileUnavailable, match="golang-github-containers-common"):
        seccomp.default_profile((), "/nonexistent")

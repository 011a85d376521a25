"""``RUN``: mounts, limits and rights, and what of them is in no layer."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lamina.runtime import controllers
from support.building import build, files_below, refused
from support.command import Lamina

pytestmark = [pytest.mark.root, pytest.mark.needs("crun")]


def _said(lamina: Lamina, context: Path, run: str, *options: str, before: str = "", **keywords: Any) -> str:
    """What one ``RUN`` writes to ``/out``."""
    build(lamina, context, f"FROM busybox\n{before}RUN {run}\n", *options, "-t", "made", **keywords)
    return lamina("run", "--rm", "--network", "none", "made", "cat", "/out")


def test_a_secret_can_be_a_variable(built: Lamina, context: Path) -> None:
    said = _said(
        built,
        context,
        "--mount=type=secret,id=token,env=TOKEN --mount=type=secret,id=other,env=OTHER,target=/other "
        'echo "${#TOKEN} $OTHER $(cat /other) $(ls /run/secrets 2>&1 | wc -l)" > /out',
        "--secret",
        "id=token,env=HIDDEN",
        "--secret",
        "type=env,id=other",
        env={"HIDDEN": "hunter2hunter2", "other": "seen"},
    )
    assert said == "14 seen seen 1\n"
    assert b"hunter2hunter2" not in files_below(built.root)


def test_a_secret_that_is_not_given_is_not_there_unless_it_is_required(built: Lamina, context: Path) -> None:
    assert _said(built, context, "--mount=type=secret,id=x ls /run/secrets/x > /out 2>&1; echo $? >> /out").endswith(
        "1\n"
    )
    assert "secret x: not found" in refused(
        built, context, "FROM busybox\nRUN --mount=type=secret,id=x,required true\n"
    )


def test_what_is_written_to_a_bind_mount_is_thrown_away(built: Lamina, context: Path) -> None:
    (context / "data").write_text("kept\n")
    dockerfile = (
        "FROM busybox AS files\nRUN mkdir /f && echo x > /f/x\nFROM busybox\n"
        "RUN --mount=type=bind,target=/src,rw --mount=type=bind,from=files,source=/f,target=/f,rw "
        "--mount=type=bind,source=data,target=/one,rw "
        "echo new >> /src/data && rm /f/x && echo y > /f/y && echo z >> /one "
        "&& cat /src/data /one > /out && ls /f >> /out\nCOPY --from=files /f /f\n"
    )
    build(built, context, dockerfile, "-t", "made")
    shown = built("run", "--rm", "made", "sh", "-c", "cat /out; ls -d /f/* /src /one 2>/dev/null; true")
    assert shown == "kept\nnew\nkept\nz\ny\n/f/x\n"
    assert (context / "data").read_text() == "kept\n"


def test_a_cache_mount_begins_with_what_it_names(built: Lamina, context: Path) -> None:
    mount = "--mount=type=cache,target=/cache,from=files,source=/f,uid=5,gid=6,mode=0750"
    dockerfile = (
        "FROM busybox AS files\nRUN mkdir /f && echo x > /f/x\nFROM busybox\n"
        f"RUN {mount} stat -c '%u:%g %a' /cache > /out; ls /cache >> /out; echo y > /cache/y\n"
        f"RUN {mount} ls /cache >> /out\n"
    )
    build(built, context, dockerfile, "-t", "made")
    assert built("run", "--rm", "made", "cat", "/out") == "5:6 750\nx\nx\ny\n"


def test_a_tmpfs_has_the_size_that_it_is_given(built: Lamina, context: Path) -> None:
    assert (
        _said(built, context, "--mount=type=tmpfs,target=/t,size=1m df -k /t | tail -1 | awk '{print $2}' > /out")
        == "1024\n"
    )


@pytest.fixture
def agent() -> Iterator[str]:
    """The socket of something that listens."""
    path = f"/tmp/lamina-test-agent-{os.getpid()}"  # not below the test's directory: an address is short
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        yield path
    os.unlink(path)


def test_a_command_may_use_the_users_agent(built: Lamina, context: Path, agent: str) -> None:
    mount = "--mount=type=ssh,required,mode=0640,gid=7"
    run = "stat -c '%F %a %g' $SSH_AUTH_SOCK > /out; echo $SSH_AUTH_SOCK >> /out"
    said = _said(built, context, f"{mount} {run}", "--ssh", "default", env={"SSH_AUTH_SOCK": agent})
    assert said == "socket 640 7\n/run/buildkit/ssh_agent.0\n"
    assert (
        _said(
            built,
            context,
            "--mount=type=ssh,id=work,target=/agent test -S /agent; echo $? > /out",
            "--ssh",
            f"work={agent}",
        )
        == "0\n"
    )
    assert "run" not in built("run", "--rm", "--network", "none", "made", "ls", "/")


def test_an_agent_that_is_not_given_is_missed_only_when_it_is_required(built: Lamina, context: Path) -> None:
    assert _said(built, context, '--mount=type=ssh echo "[$SSH_AUTH_SOCK]" > /out') == "[]\n"
    said = refused(built, context, "FROM busybox\nRUN --mount=type=ssh,id=work,required true\n")
    assert "unset ssh forward key work: build with --ssh work" in said


def test_limits_hold_for_every_command(built: Lamina, context: Path) -> None:
    said = _said(
        built,
        context,
        "ulimit -n > /out; df -k /dev/shm | tail -1 | awk '{print $2}' >> /out; grep example /etc/hosts >> /out",
        "--ulimit=nofile=100:200",
        "--shm-size=2m",
        "--add-host=example.test:10.1.2.3",
    )
    assert said == "100\n2048\n10.1.2.3\texample.test\n"
    assert "example" not in built("run", "--rm", "--network", "none", "made", "cat", "/etc/hosts")


@pytest.mark.skipif(not controllers.read().memory, reason="this host can't limit memory")
def test_a_command_that_takes_too_much_memory_is_killed(built: Lamina, context: Path) -> None:
    dockerfile = "FROM busybox\nRUN head -c 60000000 /dev/zero | tail -c 50000000 > /dev/null\n"
    said = refused(built, context, dockerfile, "--memory=16m", "--memory-swap=16m")
    assert "Killed" in said or "out of memory" in said or "137" in said


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (("--memory=1m",), "Minimum memory limit allowed is 6MB"),
        (("--isolation=hyperv",), "linux only supports 'default'"),
        (("--add-host=nothing",), 'bad format for add-host: "nothing"'),
        (("--ulimit=what=1",), "invalid ulimit type: what"),
        (("--ssh=x=/etc/passwd",), "failed to parse /etc/passwd: ssh: no key found"),
        (("--ssh=x=/nowhere/id",), "failed to stat /nowhere/id: no such file or directory"),
        (("--secret=src=x",), "invalid secret: src=x"),
        (("--allow=everything",), "invalid entitlement everything"),
    ],
)
def test_a_wrong_wish_is_refused(built: Lamina, context: Path, flags: tuple[str, ...], reason: str) -> None:
    assert reason in refused(built, context, "FROM busybox\nRUN true\n", *flags)


def test_all_privileges_need_the_users_word(built: Lamina, context: Path) -> None:
    dockerfile = "FROM busybox\nRUN --security=insecure grep CapEff /proc/self/status > /out\n"
    assert "security.insecure is not allowed" in refused(built, context, dockerfile)
    build(built, context, dockerfile, "--allow", "security.insecure", "-t", "made")
    effective = int(built("run", "--rm", "made", "cat", "/out").split()[1], 16)
    assert effective & 1 << 21  # CAP_SYS_ADMIN
    plain = _said(built, context, "grep CapEff /proc/self/status > /out")
    assert not int(plain.split()[1], 16) & 1 << 21


def test_flags_without_effect_are_accepted(built: Lamina, context: Path) -> None:
    build(built, context, "FROM busybox\n", "--compress", "--force-rm", "--rm=false", "--disable-content-trust=false")


def test_a_device_is_refused_by_its_name(built: Lamina, context: Path) -> None:
    said = refused(built, context, "FROM busybox\nRUN --device=vendor.test/device=one,required true\n")
    assert "RUN --device=vendor.test/device=one,required: device feature is only supported in" in said
    assert "Dockerfile:2" in said


def test_nothing_is_mounted_over_everything(built: Lamina, context: Path) -> None:
    for target in ("/", "//", "/..", "."):
        said = refused(built, context, f"FROM busybox\nRUN --mount=type=tmpfs,target={target} true\n")
        assert said.endswith('Error response from daemon: invalid mount target "/"\n')


@pytest.mark.timeout(60)
@pytest.mark.parametrize("sharing", ["locked", "private"])
def test_a_command_may_have_a_cache_for_itself_at_two_places(sharing: str, built: Lamina, context: Path) -> None:
    mount = f"--mount=type=cache,id=c,sharing={sharing},target="
    assert _said(built, context, f"{mount}/one {mount}/two echo x > /one/x && cat /two/x > /out") == "x\n"
    again = f"{mount}/three cat /three/x > /out"
    assert _said(built, context, again) == "x\n"


@pytest.mark.timeout(60)
def test_commands_that_want_the_same_caches_in_another_order_both_get_them(built: Lamina, context: Path) -> None:
    (context / "data").write_bytes(bytes(32 << 20))
    one, other = (f"--mount=type=cache,id={name},sharing=locked,target=/{name}" for name in ("one", "other"))
    slow = "--mount=type=bind,source=data,target=/data,rw"  # which is copied between the two
    build(
        built,
        context,
        f"FROM busybox AS s1\nRUN {one} {slow} {other} echo 1 >> /one/log && echo x > /made\n"
        f"FROM busybox AS s2\nRUN {other} {slow} {one} echo 2 >> /one/log && echo x > /made\n"
        "FROM busybox\nCOPY --from=s1 /made /1\nCOPY --from=s2 /made /2\n",
    )
    assert _said(built, context, f"{one} sort /one/log > /out") == "1\n2\n"

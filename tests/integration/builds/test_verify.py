"""``build --verify`` and ``build --on-failure``."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from support.building import build, inspect, left_over, refused
from support.command import Lamina
from support.terminal import Session

pytestmark = [pytest.mark.root, pytest.mark.needs("crun")]

_EPOCH = {"SOURCE_DATE_EPOCH": "1600000000"}


def test_a_build_that_is_the_same_twice_gets_its_name(built: Lamina, context: Path) -> None:
    (context / "data").write_text("content")
    said = build(built, context, "FROM busybox\nCOPY data /\nRUN echo x > /x\n", "--verify", "-t", "made", env=_EPOCH)
    assert said.count("RUN echo x > /x") == 3  # the third is from the cache
    assert inspect(built, "made")["RepoTags"] == ["made:latest"]


def test_what_differs_is_told_file_by_file(built: Lamina, context: Path) -> None:
    dockerfile = (
        "FROM busybox\n"
        "RUN cat /proc/sys/kernel/random/uuid > /content && echo x > /same\n"
        "RUN read up idle </proc/uptime && u=$(echo $up | tr -dc 0-9) && echo $u > /size-of-$u"
        " && ln -s $u /link && mkdir /d && chown $u:0 /d\n"
    )
    (context / "Dockerfile").write_text(dockerfile)
    done = built.run("build", "--verify", "-t", "made", str(context), env=_EPOCH)
    assert done.returncode == 1
    assert re.search(r"^layer 2 \(cat .*\): /content: content sha256:[0-9a-f]{12} and ", done.stdout, re.MULTILINE)
    assert re.search(r"^layer 3 \(.*\): /size-of-\d+: only in the first$", done.stdout, re.MULTILINE)
    assert re.search(r"^layer 3 \(.*\): /link: link to \d+ and to \d+$", done.stdout, re.MULTILINE)
    assert re.search(r"^layer 3 \(.*\): /d: owner \d+:0 and \d+:0$", done.stdout, re.MULTILINE)
    assert "/same" not in done.stdout
    assert "two builds differ in" in done.stderr
    assert "made" not in built("images")


def test_times_are_a_difference_unless_they_are_pinned(built: Lamina, context: Path) -> None:
    (context / "Dockerfile").write_text(
        "FROM busybox\nRUN touch -d @$(($(tr -dc 0-9 </proc/uptime) % 1000000000)) /x\n"
    )
    done = built.run("build", "--verify", str(context))
    assert done.returncode == 1
    assert re.search(r"^layer 2 \(touch .*\): /x: time \S+ and \S+$", done.stdout, re.MULTILINE)
    assert re.search(r"^configuration: created '\S+' and '\S+'$", done.stdout, re.MULTILINE)
    assert "SOURCE_DATE_EPOCH pins the times." in done.stderr


def test_a_failed_stage_can_be_looked_into(built: Lamina, context: Path) -> None:
    dockerfile = (
        "FROM busybox\nARG WHO=me\nRUN echo before > /before\nRUN echo half > /half; echo $WHO > /who; exit 3\n"
    )
    said = refused(built, context, dockerfile, "--on-failure", "shell")
    found = re.search(r"^  lamina run (.*) (sha256:[0-9a-f]{64})$", said, re.MULTILINE)
    assert found is not None
    assert found[1] == "--rm -it --network host --entrypoint /bin/sh"
    command = "cat /before /half /who; echo $WHO"
    shown = built("run", "--rm", "--network", "none", "--entrypoint", "/bin/sh", found[2], "-c", command)
    assert shown == "before\nhalf\nme\nme\n"
    built("rmi", found[2])
    assert built.run("system", "fsck").returncode == 0


def test_a_failed_stage_is_no_step_of_a_later_build(built: Lamina, context: Path) -> None:
    dockerfile = "FROM busybox\nRUN echo x > /x; exit 3\n"
    refused(built, context, dockerfile, "--on-failure=keep")
    assert "CACHED" not in refused(built, context, dockerfile)


def test_without_the_flag_nothing_is_kept(built: Lamina, context: Path) -> None:
    images = built("images", "--all", "--quiet")
    assert "To look into it" not in refused(built, context, "FROM busybox\nRUN false\n")
    assert built("images", "--all", "--quiet") == images


def test_on_a_terminal_a_shell_opens_in_the_failed_stage(built: Lamina, context: Path) -> None:
    (context / "Dockerfile").write_text("FROM busybox\nRUN echo half > /half; exit 3\n")
    images = built("images", "--all", "--quiet")
    session = Session(built.command("build", "--on-failure", "shell", str(context)), built.environment)
    try:
        session.expect("exit ends the build.")
        session.type("cat /half | tr a-z A-Z")
        session.expect("HALF")
        session.type("exit")
        assert session.finish() == 1
    finally:
        session.close()
    assert built("images", "--all", "--quiet") == images
    assert built.run("system", "fsck").returncode == 0


def test_the_shell_has_what_the_failed_command_had(built: Lamina, context: Path, tmp_path: Path) -> None:
    (context / "data").mkdir()
    (context / "data" / "file").write_text("context")
    secret = tmp_path / "secret"
    secret.write_text("secret")
    (context / "Dockerfile").write_text(
        "FROM busybox AS other\nRUN echo stage > /from\nFROM busybox\n"
        "RUN --network=none --mount=type=bind,source=data,target=/bound "
        "--mount=type=bind,from=other,source=/,target=/other,rw "
        "--mount=type=cache,target=/cache --mount=type=tmpfs,target=/memory "
        "--mount=type=secret,id=it,target=/secret --mount=type=secret,id=it,env=VARIABLE "
        "echo cached > /cache/file; echo changed > /other/from; echo half > /half; exit 3\n"
    )
    command = built.command("build", "--on-failure", "shell", f"--secret=id=it,src={secret}", str(context))
    session = Session(command, built.environment)
    try:
        session.expect("exit ends the build.")
        session.type("cat /bound/file /other/from /cache/file /secret /half | tr 'a-z\\n' 'A-Z:'; echo")
        session.expect("CONTEXTCHANGED:CACHED:SECRETHALF:")
        session.type("echo =$VARIABLE= | tr a-z A-Z; grep -c ' /memory tmpfs' /proc/mounts | tr 1 M")
        session.expect("=SECRET=")
        session.expect("M")
        session.type("echo x > /bound/file || echo fixed | tr a-z A-Z")
        session.expect("FIXED")
        session.type("exit")
        assert session.finish() == 1
    finally:
        session.close()
    assert (context / "data" / "file").read_text() == "context"
    assert left_over(built) == []
    assert built("volume", "ls", "--quiet") == ""
    assert built.run("system", "fsck").returncode == 0

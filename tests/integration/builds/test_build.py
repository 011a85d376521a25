"""``lamina build``: what comes out, what is cached, what is left behind."""

from __future__ import annotations

import io
import json
import os
import signal
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest

from support.building import build, inspect, left_over
from support.command import Lamina
from support.processes import wait_until

pytestmark = [pytest.mark.root, pytest.mark.needs("crun")]


def test_an_image_has_what_its_dockerfile_says(built: Lamina, context: Path) -> None:
    (context / "data").write_text("content")
    build(
        built,
        context,
        "FROM busybox\nENV GREETING=hello\nWORKDIR /work\nCOPY data .\n"
        'RUN echo $GREETING > said\nCMD ["cat", "said"]\n',
        "-t",
        "made",
    )
    assert built("run", "--rm", "made") == "hello\n"
    assert built("run", "--rm", "made", "cat", "/work/data") == "content"
    assert inspect(built, "made")["Config"]["WorkingDir"] == "/work"


def test_a_layer_holds_what_its_step_changed_and_no_mount_point(built: Lamina, context: Path) -> None:
    build(built, context, "FROM busybox\nRUN echo x > /new\n", "-t", "made")
    archive = context / "made.tar"
    built("save", "--output", str(archive), "made")
    with tarfile.open(archive) as saved:
        manifest = json.load(saved.extractfile("manifest.json") or io.BytesIO())
        top = saved.extractfile(manifest[0]["Layers"][-1])
        assert top is not None
        with tarfile.open(fileobj=top) as layer:
            assert layer.getnames() == ["new"]


def test_a_command_that_changes_nothing_makes_no_layer(built: Lamina, context: Path) -> None:
    build(built, context, "FROM busybox\nRUN true\n", "-t", "made")
    assert inspect(built, "made")["RootFS"] == inspect(built, "busybox")["RootFS"]


def test_a_second_build_comes_from_the_cache_and_gives_the_same_image(built: Lamina, context: Path) -> None:
    (context / "data").write_text("1")
    dockerfile = "FROM busybox\nRUN date > /when\nCOPY data /data\nRUN date > /later\n"
    build(built, context, dockerfile, "-t", "one")
    said = build(built, context, dockerfile, "-t", "two")
    assert said.count("CACHED") == 3
    assert inspect(built, "one")["Id"] == inspect(built, "two")["Id"]


def test_only_what_follows_a_changed_file_is_built_again(built: Lamina, context: Path) -> None:
    (context / "data").write_text("1")
    dockerfile = "FROM busybox\nRUN echo a > /a\nCOPY data /data\nRUN echo b > /b\n"
    build(built, context, dockerfile)
    (context / "data").write_text("2")
    said = build(built, context, dockerfile, "-t", "made")
    assert said.count("CACHED") == 1
    assert built("run", "--rm", "made", "cat", "/data") == "2"


def test_a_new_time_alone_does_not_make_a_file_another(built: Lamina, context: Path) -> None:
    (context / "data").write_text("1")
    dockerfile = "FROM busybox\nCOPY data /data\n"
    build(built, context, dockerfile)
    os.utime(context / "data", (1, 1))
    assert "CACHED" in build(built, context, dockerfile)


def test_a_new_mode_makes_a_file_another(built: Lamina, context: Path) -> None:
    (context / "data").write_text("1")
    dockerfile = "FROM busybox\nCOPY data /data\n"
    build(built, context, dockerfile)
    (context / "data").chmod(0o600)
    assert "CACHED" not in build(built, context, dockerfile)


def test_a_failing_command_is_shown_and_leaves_no_image(built: Lamina, context: Path) -> None:
    (context / "Dockerfile").write_text("FROM busybox\nRUN echo first > /a\nRUN echo the reason; exit 7\n")
    images = built("images", "--all", "--quiet")
    done = built.run("build", "-t", "made", str(context))
    assert done.returncode == 1
    assert "the reason" in done.stderr
    assert "The command '/bin/sh -c echo the reason; exit 7' returned a non-zero code: 7" in done.stderr
    assert built("images", "--all", "--quiet") == images
    assert built.run("system", "fsck").returncode == 0


def test_what_worked_before_a_failure_is_cached(built: Lamina, context: Path) -> None:
    (context / "Dockerfile").write_text("FROM busybox\nRUN echo first > /a\nRUN exit 1\n")
    built.run("build", str(context))
    assert "CACHED" in build(built, context, "FROM busybox\nRUN echo first > /a\nRUN true\n")


@pytest.mark.crash
def test_kill_leaves_no_mount_no_process_and_no_image(built: Lamina, context: Path) -> None:
    (context / "Dockerfile").write_text("FROM busybox\nRUN echo begun; sleep 60\n")
    images = built("images", "--all", "--quiet")
    process = built.start("build", "-t", "made", str(context))
    assert process.stderr is not None
    for line in process.stderr:
        if b"begun" in line and b"RUN" not in line:
            break
    process.send_signal(signal.SIGKILL)
    process.communicate()
    wait_until(lambda: not os.listdir(f"{built.root}/lamina/run"), seconds=30, what="the end of the warden")
    assert built("images", "--all", "--quiet") == images
    assert built.run("system", "fsck").returncode == 0
    assert not left_over(built)


@pytest.mark.crash
def test_the_next_command_ends_a_build_whose_warden_was_killed_too(built: Lamina, context: Path) -> None:
    (context / "Dockerfile").write_text("FROM busybox\nRUN echo begun; sleep 60\n")
    process = built.start("build", "-t", "made", str(context))
    assert process.stderr is not None
    for line in process.stderr:
        if b"begun" in line and b"RUN" not in line:
            break
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    for pid in (*map(int, children), process.pid):
        os.kill(pid, signal.SIGKILL)
    process.communicate()
    built("images")
    assert not left_over(built)
    assert built.run("system", "fsck").returncode == 0


@pytest.mark.parametrize("driver", ["vfs", "fuse-overlayfs", "aufs"])
def test_other_drivers_build_the_same(lamina_on: Any, context: Path, busybox_archive: str, driver: str) -> None:
    if driver != "vfs" and not os.path.exists("/dev/fuse"):
        pytest.skip("no /dev/fuse")
    lamina = lamina_on(context.parent / driver, "--storage-driver", driver)
    lamina("load", "--input", busybox_archive)
    (context / "data").write_text("data")
    dockerfile = "FROM busybox\nWORKDIR /w\nCOPY data .\nRUN echo x > /x && rm /bin/wc\nRUN echo y >> /x\nCMD cat /x\n"
    build(lamina, context, dockerfile, "-t", "made")
    assert "CACHED" in build(lamina, context, dockerfile, "-t", "again")
    said = lamina("run", "--rm", "made", "sh", "-c", "cat /x data; ls /bin/wc 2>/dev/null; true")
    assert said == "x\ny\ndata"
    assert lamina.run("system", "fsck").returncode == 0


def test_a_tar_on_standard_input_is_a_context(built: Lamina) -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, data in (("Dockerfile", b"FROM busybox\nCOPY data /data\n"), ("data", b"from a tar")):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    built("build", "--quiet", "-t", "made", "-", input=stream.getvalue())
    assert not left_over(built)
    assert built("run", "--rm", "made", "cat", "/data") == "from a tar"


def test_a_dockerfile_on_standard_input_needs_no_context(built: Lamina) -> None:
    built("build", "-q", "-t", "made", "-", input="FROM busybox\nRUN echo x > /x\n")
    assert built("run", "--rm", "made", "cat", "/x") == "x\n"


def test_an_ignored_file_is_not_there(built: Lamina, context: Path) -> None:
    (context / "secret").write_text("x")
    (context / "kept").write_text("y")
    (context / ".dockerignore").write_text("secret\nDockerfile\n.dockerignore\n")
    build(built, context, "FROM busybox\nCOPY . /all/\n", "-t", "made")
    assert built("run", "--rm", "made", "ls", "/all").split() == ["kept"]


def test_build_arguments_reach_run_and_the_history(built: Lamina, context: Path) -> None:
    build(built, context, "FROM busybox\nARG WHO=world\nRUN echo $WHO > /who\n", "--build-arg", "WHO=me", "-t", "made")
    assert built("run", "--rm", "made", "cat", "/who") == "me\n"
    assert "|1 WHO=me /bin/sh -c echo $WHO > /who" in built(
        "history", "--no-trunc", "--format", "{{.CreatedBy}}", "made"
    )


def test_stages_that_the_target_does_not_need_are_not_built(built: Lamina, context: Path) -> None:
    said = build(
        built,
        context,
        "FROM busybox AS unused\nRUN false\nFROM busybox AS files\nRUN echo x > /x\n"
        "FROM scratch\nCOPY --from=files /x /x\n",
        "-t",
        "made",
    )
    assert "RUN false" not in said
    assert len(inspect(built, "made")["RootFS"]["Layers"]) == 1


def test_a_cached_build_with_stages_mounts_nothing_new(built: Lamina, context: Path) -> None:
    dockerfile = "FROM busybox AS files\nRUN echo x > /x\nFROM scratch\nCOPY --from=files /x /x\n"
    build(built, context, dockerfile, "-t", "one")
    assert build(built, context, dockerfile, "-t", "two").count("CACHED") == 2
    assert inspect(built, "one")["Id"] == inspect(built, "two")["Id"]


def test_the_same_epoch_gives_the_same_image(built: Lamina, context: Path) -> None:
    (context / "data").write_text("1")
    dockerfile = "FROM busybox\nRUN echo a > /a\nCOPY data /data\n"
    ids = []
    for _ in range(2):
        build(built, context, dockerfile, "--no-cache", "-t", "made", env={"SOURCE_DATE_EPOCH": "1600000000"})
        ids.append(inspect(built, "made")["Id"])
        time.sleep(1.1)
    assert ids[0] == ids[1]
    assert inspect(built, "made")["Created"] == "2020-09-13T12:26:40Z"


def test_heredocs_are_scripts_and_files(built: Lamina, context: Path) -> None:
    build(
        built,
        context,
        "FROM busybox\nRUN <<EOF\necho one > /one\necho two > /two\nEOF\n"
        "RUN <<EOF\n#!/bin/cat\nfrom a script\nEOF\nCOPY <<file /made\ncontent\nfile\n",
        "-t",
        "made",
    )
    assert built("run", "--rm", "made", "cat", "/one", "/two", "/made") == "one\ntwo\ncontent\n"


def test_mounts_of_run_are_in_no_layer(built: Lamina, context: Path, tmp_path: Path) -> None:
    (context / "data").write_text("bound")
    secret = tmp_path / "password"
    secret.write_text("hunter2")
    build(
        built,
        context,
        "FROM busybox\nRUN --mount=type=bind,target=/src --mount=type=secret,id=password "
        "--mount=type=cache,target=/cache --mount=type=tmpfs,target=/scratch "
        "cat /src/data > /seen && cat /run/secrets/password | wc -c > /length && echo x >> /cache/log "
        "&& touch /scratch/t\n",
        "--secret",
        f"id=password,src={secret}",
        "-t",
        "made",
    )
    assert b"hunter2" not in b"".join(path.read_bytes() for path in Path(built.root).rglob("*") if path.is_file())
    left = built("run", "--rm", "made", "sh", "-c", "cat /seen /length; ls -d /src /cache /scratch /run 2>&1; true")
    assert left.startswith("bound7\n")
    assert left.count("No such file or directory") == 4


def test_a_cache_mount_is_there_for_the_next_build(built: Lamina, context: Path) -> None:
    for number in ("1", "2"):
        build(
            built,
            context,
            f"FROM busybox\nRUN --mount=type=cache,target=/cache echo {number} >> /cache/log; cat /cache/log > /log\n",
            "-t",
            "made",
        )
    assert built("run", "--rm", "made", "cat", "/log") == "1\n2\n"


def test_onbuild_triggers_run_in_the_next_build(built: Lamina, context: Path) -> None:
    build(built, context, "FROM busybox\nONBUILD RUN echo triggered > /t\n", "-t", "base")
    build(built, context, "FROM base\n", "-t", "made")
    assert built("run", "--rm", "made", "cat", "/t") == "triggered\n"
    assert not inspect(built, "made")["Config"].get("OnBuild")


def test_pruned_cache_frees_layers_that_no_image_needs(built: Lamina, context: Path) -> None:
    build(built, context, "FROM busybox\nRUN head -c 1000000 /dev/zero > /big\n", "-t", "made")
    built("rmi", "made")
    assert "CACHED" in build(built, context, "FROM busybox\nRUN head -c 1000000 /dev/zero > /big\n", "-t", "made")
    built("rmi", "made")
    assert "Total reclaimed space: 1MB" in built("builder", "prune", "--force")
    assert built.run("system", "fsck").returncode == 0
    assert "CACHED" not in build(built, context, "FROM busybox\nRUN head -c 1000000 /dev/zero > /big\n")


def test_the_user_and_the_shell_of_the_image_run_commands(built: Lamina, context: Path) -> None:
    build(
        built,
        context,
        'FROM busybox\nRUN mkdir -m 777 /open\nUSER 1000:1000\nSHELL ["/bin/sh", "-ec"]\nRUN id -u > /open/uid\n',
        "-t",
        "made",
    )
    assert built("run", "--rm", "made", "cat", "/open/uid") == "1000\n"


def test_a_squashed_image_has_one_layer_on_its_base(built: Lamina, context: Path) -> None:
    build(
        built,
        context,
        "FROM busybox\nRUN head -c 500000 /dev/zero > /big\nRUN echo kept > /kept\nRUN rm /big /bin/wc\n",
        "--squash",
        "-t",
        "made",
    )
    base, made = (inspect(built, name)["RootFS"]["Layers"] for name in ("busybox", "made"))
    assert made[:-1] == base
    assert inspect(built, "made")["Size"] < inspect(built, "busybox")["Size"] + 1000
    assert built("run", "--rm", "made", "sh", "-c", "cat /kept; ls /big /bin/wc 2>/dev/null; true") == "kept\n"


def test_results_go_to_a_directory_a_tar_and_archives(built: Lamina, context: Path, tmp_path: Path) -> None:
    (context / "data").write_text("content")
    out = tmp_path / "out"
    build(
        built,
        context,
        "FROM scratch\nCOPY data /d/data\n",
        f"--output={out}/files",
        f"--output=type=tar,dest={tmp_path}/out.tar",
        f"--output=type=docker,dest={tmp_path}/docker.tar",
        f"--output=type=oci,dest={tmp_path}/oci.tar",
        "-t",
        "made",
    )
    assert (out / "files" / "d" / "data").read_text() == "content"
    with tarfile.open(tmp_path / "out.tar") as tar:
        assert tar.getnames() == ["d", "d/data"]
    built("rmi", "made")
    for archive in ("docker.tar", "oci.tar"):
        assert "made:latest" in built("load", "--input", f"{tmp_path}/{archive}")


def test_a_trusted_image_lends_its_steps(built: Lamina, context: Path, lamina_on: Any, busybox_archive: str) -> None:
    (context / "data").write_text("1")
    dockerfile = "FROM busybox\nENV A=1\nRUN date > /when\nCOPY data /data\n"
    build(built, context, dockerfile, "-t", "made")
    archive = str(context.parent / "made.tar")
    built("save", "--output", archive, "made")
    other = lamina_on(context.parent / "other")
    other("load", "--input", busybox_archive)
    other("load", "--input", archive)
    assert "CACHED" not in build(other, context, dockerfile)
    other("builder", "prune", "--all", "--force")
    assert build(other, context, dockerfile, "--cache-from", "made", "-t", "again").count("CACHED") == 2
    assert built("run", "--rm", "made", "cat", "/when") == other("run", "--rm", "again", "cat", "/when")


def test_layers_that_a_build_without_cache_supersedes_go_with_the_cache(built: Lamina, context: Path) -> None:
    dockerfile = "FROM busybox AS files\nRUN date +%N > /x\nFROM scratch\nCOPY --from=files /bin/cat /x\n"
    for _ in range(2):
        build(built, context, dockerfile, "--no-cache", "-t", "made")
    built("image", "prune", "--force")
    assert built.run("system", "fsck").returncode == 0
    built("builder", "prune", "--force")
    assert built.run("system", "fsck").returncode == 0
    assert len(os.listdir(f"{built.root}/image/overlay2/layerdb/sha256")) == 2


def test_a_build_without_cache_stands_on_the_equal_layers_of_one_before(built: Lamina, context: Path) -> None:
    (context / "data").write_text("data")
    dockerfile = (
        "FROM busybox\nCOPY data /data\nRUN --network=none cat /proc/sys/kernel/random/uuid > /new\n"
        "RUN --network=none echo more > /more\nRUN --network=none echo last > /last\n"
    )
    for name in ("one", "two"):
        build(built, context, dockerfile, "--no-cache", "-t", name, env={"SOURCE_DATE_EPOCH": "1000000000"})
    one, two = (inspect(built, name)["RootFS"]["Layers"] for name in ("one", "two"))
    assert [a == b for a, b in zip(one, two, strict=True)] == [True, True, False, True, True]
    assert built("run", "--rm", "--network", "none", "two", "cat", "/data", "/more", "/last") == "datamore\nlast\n"
    assert built.run("system", "fsck").returncode == 0

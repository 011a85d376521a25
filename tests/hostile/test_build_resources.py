"""Builds that use up what the host has, contexts with odd files, and what a failed build must not keep."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lamina.builder.selection import of_tree
from lamina.builder.tree import Tree
from lamina.dockerfile.ignore import PatternMatcher
from support.command import Lamina
from support.layertar import device, file, layer, symlink

pytestmark = [pytest.mark.root, pytest.mark.needs("crun")]

_SECRET = "correct-horse-battery"


@pytest.fixture
def context(tmp_path: Path) -> Path:
    directory = tmp_path / "context"
    directory.mkdir()
    return directory


def check_failure(lamina: Lamina, context: Path, dockerfile: str, *options: str) -> str:
    """The build fails at its step and leaves nothing; what it said."""
    (context / "Dockerfile").write_text(dockerfile)
    before = lamina("images", "--all", "--quiet")
    done = lamina.run("build", *options, str(context))
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert lamina("images", "--all", "--quiet") == before
    assert lamina("ps", "--all", "--quiet") == ""
    assert lamina.run("system", "fsck").returncode == 0
    return done.stderr


def test_a_command_that_forks_without_end_stops_at_its_limit(
    lamina: Lamina, busybox_archive: str, context: Path
) -> None:
    lamina("load", "--input", busybox_archive)
    bomb = "FROM busybox\nUSER 61234\nRUN while :; do sleep 1000 & done\n"
    said = check_failure(lamina, context, bomb, "--ulimit", "nproc=60")
    assert "can't fork" in said
    assert "returned a non-zero code" in said


@pytest.mark.needs("mkfs.ext4")
@pytest.mark.parametrize("step", ["RUN dd if=/dev/zero of=/big bs=65536", "COPY big /big", "ADD big /big"])
def test_a_step_that_fills_the_disk_gives_the_space_back(
    small_file_system: Callable[..., str],
    lamina_on: Callable[..., Lamina],
    busybox_archive: str,
    context: Path,
    step: str,
) -> None:
    root = f"{small_file_system(40)}/root"
    lamina = lamina_on(root)
    lamina("load", "--input", busybox_archive)
    with open(context / "big", "wb") as big:
        big.write(os.urandom(1 << 20) * 60)
    lamina("build", "-q", "-", input=b"FROM busybox\nRUN true\n")
    before = os.statvfs(root).f_bfree
    said = check_failure(lamina, context, f"FROM busybox\nRUN echo small > /small\n{step}\n")
    assert "no space left on device" in said.lower()
    assert (before - os.statvfs(root).f_bfree) * os.statvfs(root).f_frsize < 1 << 20
    lamina("build", "-q", "-", input=b"FROM busybox\nRUN echo small > /small\nRUN echo fits > /fits\n")


@pytest.mark.parametrize("end", ["true", "false"])
@pytest.mark.parametrize("how", ["src", "env"])
def test_a_secret_is_nowhere_after_a_build_whether_it_failed(
    lamina: Lamina, busybox_archive: str, context: Path, tmp_path: Path, end: str, how: str
) -> None:
    lamina("load", "--input", busybox_archive)
    (tmp_path / "password").write_text(_SECRET)
    mount = "--mount=type=secret,id=p" + (",env=PASSWORD" if how == "env" else "")
    read = "echo $PASSWORD | wc -c" if how == "env" else "wc -c < /run/secrets/p"
    (context / "Dockerfile").write_text(f"FROM busybox\nRUN {mount} {read} > /length; grep 2 /length && {end}\n")
    metadata = ("--metadata-file", f"{lamina.root}/metadata", "--iidfile", f"{lamina.root}/id")
    cache = ("--cache-to", f"type=local,dest={lamina.root}/cache")
    secret = ("--secret", f"id=p,src={tmp_path}/password")
    done = lamina.run("build", *secret, *metadata, *cache, "--on-failure", "keep", str(context))
    assert done.returncode == (end == "false"), done.stderr
    assert _SECRET not in done.stdout + done.stderr
    for path in Path(lamina.root).rglob("*"):
        assert _SECRET not in path.name
        if path.is_file() and not path.is_symlink():
            assert _SECRET.encode() not in path.read_bytes(), path


@pytest.mark.parametrize("name", ["Dockerfile", ".dockerignore"])
@pytest.mark.parametrize("kind", ["fifo", "device", "link", "climbing link"])
def test_odd_files_in_an_archive_are_not_read(
    lamina: Lamina, busybox_archive: str, tmp_path: Path, name: str, kind: str
) -> None:
    """A FIFO would never end, ``/dev/zero`` neither, and links lead to the host's files."""
    lamina("load", "--input", busybox_archive)
    (tmp_path / "host").write_text(f"FROM {_SECRET}\n")
    raw = os.fsencode(name)
    odd = {
        "fifo": device(raw, 0, 0, b"6"),
        "device": device(raw, 1, 5),
        "link": symlink(raw, os.fsencode(tmp_path / "host")),
        "climbing link": symlink(raw, b"../" * 20 + os.fsencode(tmp_path / "host").lstrip(b"/")),
    }[kind]
    others = [file(b"Dockerfile", b"FROM busybox\nCOPY kept /\n")] if name != "Dockerfile" else []
    done = lamina.run("build", "-", input=layer(*others, file(b"kept"), odd), timeout=60)
    assert _SECRET not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    if name == "Dockerfile":
        assert done.returncode == 1


def test_ignore_patterns_made_to_backtrack_take_no_time_in_a_large_context(context: Path) -> None:
    for number in range(30):
        directory = context / ("a" * 40 + str(number)) / ("a" * 60)
        directory.mkdir(parents=True)
        for inner in range(70):
            (directory / ("a" * 100 + str(inner))).touch()
    patterns = [
        "*a" * 20 + "b",
        "**/" * 20 + "b",
        "**/*a*a*a*a*a*a*b",
        "!" + "**/*a" * 10 + "c",
        "?*" * 20 + "/" + "?*" * 20 + "z",
    ]
    started = time.process_time()
    tree = Tree(str(context), owned=False, ignored=PatternMatcher(patterns))
    try:
        assert len(list(tree.walk(""))) == 30 * 72
        list(of_tree(tree, ["."]).digests)
    finally:
        tree.close()
    assert time.process_time() - started < 60

"""A path that changes while it is used: an attacker exchanges a directory with a link to the host in a loop.

The cases are moby's CVE-2018-15664, 2021-41089 and 2026-42306, podman's 2023-0778 and 2026-55686, runc's 2021-30465 and
2024-45310, and their like: files come from the host by no command, and nothing is made, changed or owned there.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.command import Lamina
from support.mounts import mounts_below

pytestmark = [pytest.mark.root, pytest.mark.needs("crun")]

_ROUNDS = 3
_SECRET = "the host's"
_ATTACKER = """
import sys
from lamina.linux.files import RENAME_EXCHANGE, renameat2
one, other = sys.argv[1:]
print("begun", flush=True)
while True:
    renameat2(one, other, flags=RENAME_EXCHANGE)
"""


@pytest.fixture
def victim(tmp_path: Path) -> Iterator[Path]:
    """A host directory that nothing may touch or read."""
    directory = tmp_path / "victim"
    directory.mkdir(mode=0o711)
    (directory / "secret").write_text(_SECRET)
    (directory / "sub").mkdir()
    yield directory
    assert sorted(os.listdir(directory)) == ["secret", "sub"]
    assert (directory / "secret").read_text() == _SECRET
    assert os.listdir(directory / "sub") == []
    for path, mode in ((directory, 0o711), (directory / "secret", 0o644), (directory / "sub", 0o755)):
        status = path.stat()
        assert (status.st_mode & 0o7777, status.st_uid, status.st_gid) == (mode, 0, 0)


@contextmanager
def swapping(directory: str, victim: Path) -> Iterator[None]:
    """``swap`` in a directory of a container is by turns a directory and a link to the victim, as fast as it goes."""
    os.makedirs(f"{directory}/swap/sub")
    Path(directory, "swap", "secret").write_text("the container's")
    os.symlink(victim, f"{directory}/link")
    command = [sys.executable, "-c", _ATTACKER, f"{directory}/swap", f"{directory}/link"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        try:
            # Who goes there by the path gets to the host now and then.
            seen = {Path(directory, "swap", "secret").read_text() for _ in range(5000)}
            assert seen == {"the container's", _SECRET}
            yield
            assert process.poll() is None, "the attacker has given up"
        finally:
            process.kill()


@pytest.fixture
def place(lamina: Lamina, busybox_archive: str, victim: Path) -> Callable[[str], str]:
    """``place("running")``: a container ``box`` that runs or not, and the host's path of a directory ``/v`` in it."""
    lamina("load", "-q", "-i", busybox_archive)

    def make(state: str) -> str:
        if state == "stopped with a volume":
            lamina("create", "--name", "box", "-v", "shared:/v", "busybox")
            return f"{lamina.root}/volumes/shared/_data"
        lamina("run", "-d", "--name", "box", "busybox", "sleep", "600")
        pid = lamina("inspect", "-f", "{{.State.Pid}}", "box").strip()
        return f"/proc/{pid}/root/v"

    return make


@pytest.mark.parametrize("state", ["running", "stopped with a volume"])
def test_cp_into_a_container(
    lamina: Lamina, place: Callable[[str], str], victim: Path, tmp_path: Path, state: str
) -> None:
    planted = tmp_path / "planted"
    planted.mkdir()
    (planted / "file").write_text("planted")
    with swapping(place(state), victim):
        for number in range(_ROUNDS):
            lamina.run("cp", str(planted / "file"), ("box:/v/swap/secret", "box:/v/swap/new")[number % 2])
            lamina.run("cp", "-a", str(planted), "box:/v/swap/sub")


@pytest.mark.parametrize("state", ["running", "stopped with a volume"])
def test_cp_out_of_a_container(lamina: Lamina, place: Callable[[str], str], victim: Path, state: str) -> None:
    found = set()
    with swapping(place(state), victim):
        for _ in range(_ROUNDS):
            for path in ("/v/swap/secret", "/v/swap/.", "/v"):
                done = lamina.run("cp", "-L", f"box:{path}", "-")
                assert _SECRET not in done.stdout
                assert "Traceback" not in done.stderr
                found.add("the container's" in done.stdout)
    assert True in found


def test_what_shows_and_keeps_a_containers_files(
    lamina: Lamina, place: Callable[[str], str], victim: Path, tmp_path: Path
) -> None:
    with swapping(place("running"), victim):
        for number in range(2):
            exported = lamina.run("export", "-o", str(tmp_path / "out.tar"), "box")
            if exported.returncode == 0:
                _without_secret(tmp_path / "out.tar")
            committed = lamina.run("commit", "box", f"image:{number}")
            if committed.returncode == 0:
                lamina("save", "-o", str(tmp_path / "image.tar"), f"image:{number}")
                _without_secret(tmp_path / "image.tar")
            assert "Traceback" not in exported.stderr + committed.stderr + lamina.run("diff", "box").stderr


def _without_secret(archive: Path) -> None:
    assert _SECRET.encode() not in archive.read_bytes()
    with tarfile.open(archive) as tar:
        assert tar.getnames()


@pytest.mark.parametrize(
    "flags",
    [("-w", "/v/swap/made"), ("-v", "inner:/v/swap/inner"), ("--tmpfs", "/v/swap/sub")],
    ids=" ".join,
)
def test_starts_with_places_below(
    lamina: Lamina, place: Callable[[str], str], victim: Path, flags: tuple[str, ...]
) -> None:
    with swapping(place("stopped with a volume"), victim):
        for _ in range(_ROUNDS):
            done = lamina.run("run", "--rm", "-v", "shared:/v", *flags, "busybox", "cat", "/v/swap/secret")
            assert _SECRET not in done.stdout
            assert "Traceback" not in done.stderr
    lamina("rm", "box")
    assert mounts_below(lamina.root) == []

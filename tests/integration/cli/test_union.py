"""``lamina union`` and ``mount -t fuse.lamina`` as they are typed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.command import lamina_program
from support.mounts import mounts_below, unmount_all

pytestmark = pytest.mark.root


def union(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([lamina_program(), "union", *words], cwd=cwd, text=True, capture_output=True, check=False)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """Directories for one union, with a colon and a comma in a name."""
    for name in ("top:1", "bot,tom", "upper", "work", "merged"):
        (tmp_path / name).mkdir()
    (tmp_path / "top:1/both").write_text("top")
    (tmp_path / "bot,tom/both").write_text("bottom")
    (tmp_path / "bot,tom/below").write_text("below")
    yield tmp_path
    unmount_all(str(tmp_path))


OPTIONS = r"lowerdir=top\:1:bot\,tom,upperdir=upper,workdir=work"


def test_escaped_names_are_mounted_and_the_mount_says_what_it_is_made_of(place: Path) -> None:
    assert union("mount", "-o", OPTIONS, "merged", cwd=place).returncode == 0
    assert (place / "merged/both").read_text() == "top"
    (place / "merged/below").unlink()
    said = union("ls", "--format", "{{.Layer}} {{.Name}}", "merged", cwd=place)
    assert (said.stdout, said.stderr) == ("1 both\n", "")
    said = union("which", "--format", "{{.Layer}} {{.Kind}} {{.Visible}}", "merged/below", cwd=place)
    assert said.stdout == "0 whiteout no\n2 file no\n"
    assert union("diff", "merged", cwd=place).stdout == "D /below\n"
    assert union("umount", "merged", cwd=place).returncode == 0
    assert mounts_below(str(place)) == []
    assert os.listdir(place / "upper") == ["below"]


def test_the_kernels_mount_is_explained_too(place: Path) -> None:
    text = rf"lowerdir={place}/top\:1:{place}/bot\,tom,upperdir={place}/upper,workdir={place}/work"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", text, "merged"], cwd=place, check=True)
    (place / "merged/new").touch()
    assert union("diff", "merged", cwd=place).stdout == "A /new\n"
    assert union("ls", "--format", "{{.Layer}} {{.Name}}", cwd=place / "merged").stdout == "2 below\n1 both\n0 new\n"


def test_without_an_upper_directory_nothing_can_be_changed(place: Path) -> None:
    assert union("mount", "-o", r"lowerdir=top\:1:bot\,tom", "merged", cwd=place).returncode == 0
    with pytest.raises(OSError, match="Read-only"):
        (place / "merged/new").touch()
    assert union("umount", "merged", cwd=place).returncode == 0


def test_df_lists_the_mount(place: Path) -> None:
    union("mount", "-o", OPTIONS, "source", "merged", cwd=place)
    row = subprocess.run(
        ["df", "--output=source,size,target", place / "merged"], capture_output=True, text=True, check=True
    ).stdout.splitlines()[1]
    source, size, target = row.split()
    assert (source, target) == ("source", str(place / "merged"))
    assert int(size) > 0


def test_in_the_foreground_a_signal_ends_it(place: Path) -> None:
    server = subprocess.Popen([lamina_program(), "union", "mount", "--foreground", "-o", OPTIONS, "merged"], cwd=place)
    deadline = time.monotonic() + 20
    while not mounts_below(str(place)):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    server.terminate()
    assert server.wait(20) == 0
    assert mounts_below(str(place)) == []


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (f"{OPTIONS},nfs_export=on", "file handles"),
        (f"{OPTIONS},nonsense", "unknown option 'nonsense'"),
        ("lowerdir=absent,upperdir=upper,workdir=work", "absent"),
        ("lowerdir=upper,upperdir=upper", "workdir"),
    ],
)
def test_what_can_not_be_mounted_is_refused_with_the_reason(place: Path, options: str, reason: str) -> None:
    done = union("mount", "-o", options, "merged", cwd=place)
    assert done.returncode == 1
    assert reason in done.stderr
    assert mounts_below(str(place)) == []


def test_unmounting_what_is_not_mounted_says_so(place: Path) -> None:
    done = union("umount", "merged", cwd=place)
    assert (done.returncode, done.stderr) == (1, "union umount: merged is not mounted\n")


def test_mount_8s_program_mounts_as_fstab_says(place: Path) -> None:
    helper = [sys.executable, "-m", "lamina.cli.mount_helper"]
    merged = str(place / "merged")
    subprocess.run([*helper, "source", merged, "-o", f"rw,noatime,nofail,{OPTIONS}"], cwd=place, check=True)
    assert (place / "merged/both").read_text() == "top"
    with open("/proc/mounts") as table:
        row = next(line.split() for line in table if line.split()[1] == merged)
    assert (row[0], row[2]) == ("source", "fuse.lamina")
    assert "noatime" in row[3].split(",")
    subprocess.run(["umount", merged], check=True)
    failed = subprocess.run(
        [*helper, "source", merged, "-o", "lowerdir=/absent"], cwd=place, capture_output=True, text=True, check=False
    )
    assert failed.returncode == 32
    assert "absent" in failed.stderr

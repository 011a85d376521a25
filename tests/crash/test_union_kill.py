"""``kill -9`` of a union's server under load: what was finished is there, what was not is not, and both mount again."""

from __future__ import annotations

import os
import random
import shutil
import signal
import stat
import subprocess
import threading
from pathlib import Path

import pytest

from lamina.unionfs import fuse
from lamina.unionfs.options import MountOptions
from support.mounts import unmount_all

pytestmark = [pytest.mark.root, pytest.mark.crash]

Tree = dict[str, tuple[int, int, bytes]]


def tree(root: str) -> Tree:
    found = {}
    for place, directories, files in os.walk(root):
        for path in (os.path.join(place, name) for name in (*directories, *files)):
            status = os.lstat(path)
            content = Path(path).read_bytes() if stat.S_ISREG(status.st_mode) else b""
            found[path.removeprefix(root)] = (status.st_mode, status.st_uid, content)
    return found


def operate(root: str, directories: list[str], files: list[str], seed: int) -> None:
    """One operation below ``root``, the same for the same arguments; :class:`OSError` where it can't be done."""
    chance = random.Random(seed)
    directory, other, file = chance.choice(directories), chance.choice(directories), chance.choice(files)
    new = f"{root}{directory}/new{seed}"
    actions = (
        lambda: os.close(os.open(new, os.O_CREAT | os.O_WRONLY)),
        lambda: os.truncate(root + file, 0),
        lambda: os.unlink(root + file),
        lambda: os.rename(root + file, new),
        lambda: os.rename(root + file, root + directory + "/f3"),
        lambda: os.mkdir(new),
        lambda: os.rmdir(root + directory),
        lambda: os.chmod(root + file, 0o600),
        lambda: os.chown(root + file, 5, 5),
        lambda: os.symlink("target", new),
        lambda: os.link(root + file, new),
        lambda: os.rename(root + other, new),
    )
    chance.choice(actions)()


def places(root: str) -> tuple[list[str], list[str]]:
    """Directories and files below ``root``, without itself unless it is the only one."""
    walked = [(place.removeprefix(root), directories, files) for place, directories, files in os.walk(root)]
    return (
        sorted(place for place, _, _ in walked if place) or [""],
        sorted(f"{place}/{name}" for place, _, files in walked for name in files) or ["/none"],
    )


def work_until_killed(merged: str, model: str, seed: int) -> tuple[Tree, Tree]:
    """Change the mount and a plain directory alike until the mount dies; the trees without and with the last step."""
    while True:
        seed += 1
        known = places(model)
        failed: int | None = None
        try:
            operate(merged, *known, seed)
        except OSError as error:
            failed = error.errno
        before = tree(model)
        try:
            operate(model, *known, seed)
            expected = None
        except OSError as error:
            expected = error.errno
        if not os.path.ismount(merged) or failed in (103, 107):  # ECONNABORTED, ENOTCONN
            return before, tree(model)
        assert failed == expected


@pytest.mark.parametrize("seed", range(6))
def test_a_killed_server_leaves_every_finished_change_and_no_half_one(tmp_path: Path, seed: int) -> None:
    base = str(tmp_path)
    merged, model = f"{base}/merged", f"{base}/model"
    for name in ("upper", "work", "merged"):
        (tmp_path / name).mkdir()
    for name in (f"lower/d{number}/sub" for number in range(6)):
        (tmp_path / name).mkdir(parents=True)
        for number in range(6):
            (tmp_path / name).parent.joinpath(f"f{number}").write_text(name * 50)
    shutil.copytree(f"{base}/lower", model)
    options = MountOptions((f"{base}/lower",), f"{base}/upper", f"{base}/work")
    try:
        server = fuse.mount_in_background(options, merged)
        delay = random.Random(seed).uniform(0.05, 0.5)
        killer = threading.Timer(delay, os.kill, (server, signal.SIGKILL))
        killer.start()
        allowed = work_until_killed(merged, model, seed * 100_000)
        killer.join()
        subprocess.run(["umount", merged], check=True)
        fuse.mount_in_background(options, merged)
        ours = tree(merged)
        fuse.unmount(merged)
        assert ours in allowed
        overlay = f"lowerdir={base}/lower,upperdir={base}/upper,workdir={base}/work,redirect_dir=on"
        subprocess.run(["mount", "-t", "overlay", "overlay", "-o", overlay, merged], check=True)
        assert tree(merged) == ours
    finally:
        unmount_all(base)

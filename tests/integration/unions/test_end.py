"""However a mounted union under load is ended, what was finished is there and the next mount goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from lamina.unionfs import fuse
from lamina.unionfs.check import findings
from lamina.unionfs.options import MountOptions
from lamina.unionfs.union import Union
from support.mounts import unmount_all

pytestmark = pytest.mark.root

_WORKERS = 3


class Worker(threading.Thread):
    """Makes one directory after the other, each with a file, and remembers which are finished."""

    def __init__(self, merged: str, number: int) -> None:
        super().__init__()
        self._merged = merged
        self._number = number
        self.done: list[str] = []
        self.warm = threading.Event()

    def run(self) -> None:
        try:
            for count in range(100_000):
                name = f"{self._number}-{count}"
                # beside the mount, when that has ended, nothing may be made
                directory = os.open(self._merged, os.O_PATH)
                try:
                    os.stat("lower", dir_fd=directory)
                    os.mkdir(f"made-{name}", dir_fd=directory)
                    with open(f"/proc/self/fd/{directory}/made-{name}/file", "w") as file:
                        file.write(name)
                    os.rename(f"made-{name}", f"finished-{name}", src_dir_fd=directory, dst_dir_fd=directory)
                finally:
                    os.close(directory)
                self.done.append(name)
                if count == 20:
                    self.warm.set()
        except OSError:
            return  # it ended
        finally:
            self.warm.set()


def _lazily(merged: str, server: int) -> None:
    subprocess.run(["umount", "--lazy", merged], check=True)


def _ours(merged: str, server: int) -> None:
    fuse.unmount(merged, lazy=True)


def _terminated(merged: str, server: int) -> None:
    os.kill(server, signal.SIGTERM)


def _forced(merged: str, server: int) -> None:
    subprocess.run(["umount", "--force", "--lazy", merged], check=True)


@pytest.mark.parametrize("end", [_lazily, _ours, _terminated, _forced])
def test_what_was_finished_stays(tmp_path: Path, end: Callable[[str, int], None]) -> None:
    for name in ("lower/lower", "upper", "work", "merged"):
        (tmp_path / name).mkdir(parents=True)
    merged = str(tmp_path / "merged")
    options = MountOptions((f"{tmp_path}/lower",), f"{tmp_path}/upper", f"{tmp_path}/work")
    try:
        server = fuse.mount_in_background(options, merged)
        workers = [Worker(merged, number) for number in range(_WORKERS)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.warm.wait(60)
        end(merged, server)
        for worker in workers:
            worker.join(60)
            assert not worker.is_alive()
        os.waitpid(server, 0)
        assert os.listdir(merged) == []
        with Union(options) as union:
            for name in (name for worker in workers for name in worker.done):
                assert union.lstat(f"finished-{name}/file").st_size == len(name)
        assert [found for found in findings(options) if found.kind != "leftover"] == []
        fuse.mount_in_background(options, merged)
        assert sum(len(worker.done) for worker in workers) <= len(os.listdir(merged)) - 1
        fuse.unmount(merged)
    finally:
        unmount_all(str(tmp_path))

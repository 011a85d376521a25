"""``kill -9`` of a union's server under load: what was finished is there, nothing is half done, and it mounts again."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lamina.unionfs import fuse
from lamina.unionfs.check import findings
from lamina.unionfs.options import MountOptions
from support.mounts import unmount_all

pytestmark = [pytest.mark.root, pytest.mark.crash]

KILLS = 12
#: Larger than one request, so that a kill can come in the middle of a copy-up.
SIZE = 300_000
FILES = 200


class Load:
    """A thread that changes lower files one after the other and remembers what was finished."""

    def __init__(self, merged: str, numbers: list[int]) -> None:
        self._merged = merged
        self._numbers = numbers
        self.done: dict[int, str] = {}
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    def join(self) -> None:
        self._thread.join()

    def _work(self) -> None:
        steps: list[tuple[str, Callable[[str], None]]] = [
            ("appended", self._append),
            ("deleted", os.unlink),
            ("renamed", lambda path: os.rename(path, path + "-renamed")),
            ("chmod", lambda path: os.chmod(path, 0o4711)),
        ]
        try:
            for number in self._numbers:
                name, step = steps[number % len(steps)]
                step(f"{self._merged}/dir{number % 7}/file{number}")
                self.done[number] = name
        except OSError:
            return  # the server was killed

    @staticmethod
    def _append(path: str) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
        try:
            os.write(descriptor, b"more")
        finally:
            os.close(descriptor)


def original(number: int) -> bytes:
    return (b"%06d" % number) * (SIZE // 6)


def check(merged: str, done: dict[int, str], begun: int) -> None:
    """Finished operations are there; of the one that was interrupted either nothing or all."""
    for number in range(FILES):
        path = f"{merged}/dir{number % 7}/file{number}"
        state = done.get(number)
        content = Path(path).read_bytes() if os.path.exists(path) else None
        renamed = os.path.exists(path + "-renamed")
        possible: dict[str | None, bool] = {
            None: content == original(number) and not renamed,
            "appended": content == original(number) + b"more",
            "deleted": content is None and not renamed,
            "renamed": content is None and renamed and Path(path + "-renamed").read_bytes() == original(number),
            "chmod": content == original(number) and os.stat(path).st_mode & 0o7777 == 0o4711,
        }
        if state is None and number == begun:
            assert any(possible.values()), f"{number} is half done"
        else:
            assert possible[state], f"{number} should be {state or 'as it was'}"


def test_a_killed_server_leaves_everything_finished_and_nothing_half_done(tmp_path: Path) -> None:
    for name in ("lower", "merged"):
        (tmp_path / name).mkdir()
    for number in range(FILES):
        directory = tmp_path / "lower" / f"dir{number % 7}"
        directory.mkdir(exist_ok=True)
        (directory / f"file{number}").write_bytes(original(number))
    randomness = random.Random(7)  # the moments still depend on the machine
    merged = str(tmp_path / "merged")
    for turn in range(KILLS):
        upper, work = tmp_path / f"upper{turn}", tmp_path / f"work{turn}"
        upper.mkdir()
        work.mkdir()
        options = MountOptions((f"{tmp_path}/lower",), str(upper), str(work))
        numbers = list(range(FILES))
        randomness.shuffle(numbers)
        pid = fuse.mount_in_background(options, merged)
        load = Load(merged, numbers)
        time.sleep(randomness.uniform(0.005, 0.15))
        os.kill(pid, signal.SIGKILL)
        load.join()
        os.waitpid(pid, 0)
        unmount_all(merged)
        begun = next((number for number in numbers if number not in load.done), -1)
        text = f"lowerdir={tmp_path}/lower,upperdir={upper},workdir={work},redirect_dir=on"
        subprocess.run(["mount", "-t", "overlay", "overlay", "-o", text, merged], check=True)
        check(merged, load.done, begun)
        subprocess.run(["umount", merged], check=True)
        fuse.mount_in_background(options, merged)
        check(merged, load.done, begun)
        fuse.unmount(merged)
        assert [found for found in findings(options) if found.kind != "leftover"] == []

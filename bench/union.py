"""Union file systems side by side: the kernel's overlayfs, ours, fuse-overlayfs and unionfs-fuse.

``python -m bench.union`` needs root, ``/dev/fuse``, Debian's fuse-overlayfs and unionfs-fuse, git, make and a compiler.
Every file system does the same work in every round, in turn, on a tmpfs and on a new ext4; what is printed are medians,
and ratios to the goals.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from bench import measure, report
from bench.images import EPOCH, MIRROR, SUITE
from bench.storage import new_ext4

STREAM_MEGABYTES = 512
WALK_FILES = 200_000
MEMORY_GOAL = 100 << 20
SOURCES = 60

#: Where ``RESULTS.md`` tells of it.
HEADING = "# Union file systems"
#: Kinds of union; the first two are what the others are held against.
KINDS = ("overlay", "fuse-overlayfs", "unionfs-fuse", "lamina")


class Goal(NamedTuple):
    """Our median must be at most ``ratio`` times that of ``next_to``."""

    step: str
    next_to: str
    ratio: float


GOALS = {
    "tmpfs": (
        Goal("extract", "fuse-overlayfs", 0.6),
        Goal("find", "fuse-overlayfs", 0.8),
        Goal("du", "fuse-overlayfs", 0.8),
        Goal("rm", "fuse-overlayfs", 0.6),
        Goal("git status", "fuse-overlayfs", 0.8),
        Goal("git checkout", "fuse-overlayfs", 0.8),
        Goal("make -j2", "fuse-overlayfs", 1.0),
        Goal("write", "overlay", 1 / 0.9),
        Goal("read", "overlay", 1 / 0.9),
    ),
    "disk": (Goal("extract", "fuse-overlayfs", 0.8),),
}


@contextmanager
def union(kind: str, base: str, lamina: str) -> Iterator[str]:
    """A fresh upper directory on ``<base>/lower``, mounted; the merged directory."""
    for name in ("lower", "upper", "work", "merged"):
        os.makedirs(f"{base}/{name}", exist_ok=True)
    options = f"lowerdir={base}/lower,upperdir={base}/upper,workdir={base}/work"
    merged = f"{base}/merged"
    commands = {
        "overlay": ["mount", "-t", "overlay", "overlay", "-o", options, merged],
        "fuse-overlayfs": ["fuse-overlayfs", "-o", options, merged],
        "unionfs-fuse": [
            "unionfs",
            "-o",
            "cow,allow_other,dev,suid,use_ino",
            f"{base}/upper=RW:{base}/lower=RO",
            merged,
        ],
        "lamina": [lamina, "union", "mount", "-o", options, merged],
    }
    subprocess.run(commands[kind], check=True, stdout=subprocess.DEVNULL)
    try:
        yield merged
    finally:
        subprocess.run(["umount", merged], check=True)
        for name in ("upper", "work"):
            _remove_patiently(f"{base}/{name}")


def _remove_patiently(path: str) -> None:
    for _ in range(20):
        shutil.rmtree(path, ignore_errors=True)
        if not os.path.exists(path):
            return
        time.sleep(0.1)  # its server may still be closing what it had open


class Bench:
    """One run over one backing file system."""

    def __init__(self, base: str, archive: str, steps: frozenset[str], lamina: str) -> None:
        self._base = base
        self._lamina = lamina
        self._archive = archive
        self._steps = steps
        self.times: dict[str, dict[str, list[float]]] = {}
        self._kind = ""

    def round(self, kind: str) -> None:
        """All steps on one union."""
        self._kind = kind
        with union(kind, self._base, self._lamina) as merged:
            self._tree(merged)
            if "git" in self._steps:
                self._git(merged)
            if "make" in self._steps:
                self._make(merged)
            if "stream" in self._steps:
                self._stream(merged)

    def _time(self, step: str, *command: str) -> None:
        measure.settle()
        took = measure.timing(list(command), ()).wall
        self.times.setdefault(step, {}).setdefault(self._kind, []).append(took)

    def _tree(self, merged: str) -> None:
        os.mkdir(f"{merged}/root")
        self._time("extract", "tar", "-xf", self._archive, "-C", f"{merged}/root")
        self._time("find", "find", f"{merged}/root", "-size", "+1000k")
        self._time("du", "du", "-s", f"{merged}/root")
        self._time("rm", "rm", "-rf", f"{merged}/root")

    def _git(self, merged: str) -> None:
        """The repository is in the lower directory."""
        git = ("git", "-C", f"{merged}/repository", "-c", "safe.directory=*")
        self._time("git status", *git, "status", "--porcelain")
        self._time("git checkout", *git, "checkout", "-q", "before")

    def _make(self, merged: str) -> None:
        self._time("make -j2", "make", "-s", "-j2", "-C", f"{merged}/sources")

    def _stream(self, merged: str) -> None:
        size = f"count={STREAM_MEGABYTES}"
        self._time("write", "dd", "if=/dev/zero", f"of={merged}/stream", "bs=1M", size)
        _drop_caches()
        self._time("read", "dd", f"if={merged}/stream", "of=/dev/null", "bs=1M", size)
        os.unlink(f"{merged}/stream")


def _drop_caches() -> None:
    """What a FUSE mount has cached; files of a tmpfs stay where they are."""
    with open("/proc/sys/vm/drop_caches", "w") as file:
        file.write("1")


def prepare_lower(base: str, archive: str) -> None:
    """A repository with two commits and something to compile, as lower content."""
    lower = f"{base}/lower"
    os.makedirs(f"{lower}/repository")
    subprocess.run(
        ["tar", "-xf", archive, "-C", f"{lower}/repository", "--wildcards", "./usr/*", "./etc/*"], check=True
    )
    environment = {
        **os.environ,
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_AUTHOR_DATE": EPOCH,
        "GIT_COMMITTER_DATE": EPOCH,
    }
    git = ("git", "-C", f"{lower}/repository", "-c", "user.name=b", "-c", "user.email=b@b", "-c", "gc.auto=0")

    def run(*command: str) -> None:
        subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    run(*git, "init", "-q")
    run(*git, "add", "-A", "-f", ".")
    run(*git, "commit", "-q", "-m", "before")
    run(*git, "tag", "before")
    for number, (directory, _, names) in enumerate(os.walk(f"{lower}/repository/usr")):
        if number % 3 == 0:
            for name in names:
                path = f"{directory}/{name}"
                if not os.path.islink(path):
                    with open(path, "ab") as file:
                        file.write(b"\n")
    run(*git, "commit", "-q", "-a", "-m", "after")
    _write_sources(f"{lower}/sources")


def _write_sources(directory: str) -> None:
    os.makedirs(directory)
    names = [f"part{number}" for number in range(SOURCES)]
    for name in names:
        with open(f"{directory}/{name}.c", "w") as file:
            file.write(
                f"#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\nint {name}(void) {{ return 1; }}\n"
            )
    with open(f"{directory}/Makefile", "w") as file:
        objects = " ".join(f"{name}.o" for name in names)
        file.write(f"all.a: {objects}\n\tar rcs $@ $^\n")


def memory_after_walk(base: str, lamina: str) -> int:
    """Resident bytes of our server after ``find`` over many files."""
    lower = f"{base}/lower/many"
    for number in range(WALK_FILES // 1000):
        os.makedirs(f"{lower}/{number}")
        for name in range(1000):
            os.close(os.open(f"{lower}/{number}/{name}", os.O_CREAT | os.O_WRONLY))
    with union("lamina", base, lamina) as merged:
        subprocess.run(["find", f"{merged}/many", "-size", "+1"], check=True, stdout=subprocess.DEVNULL)
        return max(_resident(pid) for pid in _servers())


def _servers() -> Iterator[int]:
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/cmdline", "rb") as file:
                    if b"lamina.unionfs.fuse" in file.read():
                        yield int(name)
            except OSError:
                continue


def _resident(pid: int) -> int:
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def table(times: dict[str, dict[str, list[float]]]) -> str:
    """Medians in seconds."""
    lines = ["| step | " + " | ".join(KINDS) + " |", "|---|" + "---:|" * len(KINDS)]
    for step, by_kind in times.items():
        cells = [f"{statistics.median(by_kind[kind]):.2f}" if kind in by_kind else "" for kind in KINDS]
        lines.append(f"| {step} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def judged(place: str, times: dict[str, dict[str, list[float]]]) -> Iterator[str]:
    """A row for each goal."""
    for goal in GOALS[place]:
        by_kind = times.get(goal.step, {})
        if "lamina" in by_kind and goal.next_to in by_kind:
            ratio = statistics.median(by_kind["lamina"]) / statistics.median(by_kind[goal.next_to])
            verdict = "met" if ratio <= goal.ratio else "**missed**"
            yield f"| {goal.step}, {place} | {goal.next_to} | {goal.ratio:.2f} | {ratio:.2f} | {verdict} |"


class Report:
    """What is printed, and written to ``RESULTS.md``."""

    def __init__(self, directory: str, rounds: int) -> None:
        self._about = (
            f"Measured on {report.now()} by `make bench-union`, {rounds} rounds; medians in seconds. In each round "
            "every union does the same in turn, each round in another order; unionfs-fuse takes part in the first. "
            f"Machine: {report.machine(directory)}, load {os.getloadavg()[0]:.1f} at the start."
        )
        self._tables: list[str] = []
        self._goals: list[str] = []

    def add(self, place: str, times: dict[str, dict[str, list[float]]]) -> None:
        """The times on one backing file system."""
        self._tables.append(f"## Unions on {place}\n\n{table(times)}")
        self._goals += judged(place, times)

    def add_memory(self, used: int) -> None:
        """Resident bytes of our server after the walk."""
        verdict = "met" if used <= MEMORY_GOAL else "**missed**"
        what = f"memory after a walk over {WALK_FILES} files"
        self._goals.append(f"| {what} | | {MEMORY_GOAL >> 20} MiB | {used >> 20} MiB | {verdict} |")

    def text(self) -> str:
        """The part of the page."""
        head = "| what | next to | at most | measured | |\n|---|---|---|---|---|"
        goals = "\n".join([head, *self._goals])
        return "\n\n".join([HEADING, self._about, "## Goals of the union", goals, *self._tables]) + "\n"


def _archive(cache: str) -> str:
    """A Debian root file system as a tar: from ``cache``, or made there."""
    path = f"{cache}/union-rootfs.tar"
    if not os.path.exists(path):
        os.makedirs(cache, exist_ok=True)
        part = f"{path}.part.tar"
        subprocess.run(["mmdebstrap", "--variant=minbase", SUITE, part, MIRROR], check=True)
        os.rename(part, path)
    return path


def _turns(rounds: int) -> Iterator[str]:
    """Kinds in the order of all rounds."""
    for number in range(rounds):
        turn = number % len(KINDS)
        for kind in [*KINDS[turn:], *KINDS[:turn]]:
            if kind != "unionfs-fuse" or number == 0:  # nothing is held against it, and it is slow
                yield kind


def _run_in_memory(
    base: str, archive: str, steps: frozenset[str], options: argparse.Namespace
) -> dict[str, dict[str, list[float]]]:
    prepare_lower(base, archive)
    bench = Bench(base, archive, steps, options.lamina)
    for kind in _turns(options.rounds):
        bench.round(kind)
    return bench.times


def _run_on_disk(archive: str, options: argparse.Namespace) -> dict[str, dict[str, list[float]]]:
    """Every turn on a file system of its own, or each would pay for what the ones before removed."""
    bench = Bench(options.work, archive, frozenset(), options.lamina)
    for kind in _turns(options.rounds):
        with new_ext4(options.work):
            bench.round(kind)
    return bench.times


@contextmanager
def _tmpfs(path: str) -> Iterator[str]:
    os.makedirs(path)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6g", "bench", path], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", path], check=True)
        os.rmdir(path)


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.union", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--work", default="/var/tmp/lamina-bench-union", help="directory on a disk")
    parser.add_argument("--cache", default=os.path.expanduser("~/.cache/lamina-bench"))
    parser.add_argument("--no-disk", action="store_true", help="tmpfs only")
    parser.add_argument("--steps", default="git,make,stream,memory", help="besides extract, find, du, rm")
    parser.add_argument("--lamina", default=os.path.join(os.path.dirname(sys.executable), "lamina"))
    parser.add_argument("--output", default=os.path.join(os.path.dirname(__file__), "RESULTS.md"), help="'' for none")
    options = parser.parse_args()
    if os.geteuid() != 0:
        print("bench.union: mounting needs root", file=sys.stderr)
        return 1
    archive = _archive(options.cache)
    steps = frozenset(options.steps.split(","))
    found = Report(os.path.dirname(options.work), options.rounds)
    with _tmpfs(f"{options.work}-tmpfs") as base:
        found.add("tmpfs", _run_in_memory(base, archive, steps, options))
    if "memory" in steps:
        with _tmpfs(f"{options.work}-tmpfs") as base:
            found.add_memory(memory_after_walk(base, options.lamina))
    if not options.no_disk:
        found.add("disk", _run_on_disk(archive, options))
    print(found.text())
    if options.output:
        report.write_part(options.output, found.text())
    return 0


if __name__ == "__main__":
    sys.exit(main())

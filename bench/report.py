"""``RESULTS.md``: what was measured, on what, and how it stands to the goals."""

from __future__ import annotations

import os
import platform
import statistics
import time
from typing import NamedTuple

from bench.measure import Timing

#: Goals as ratios of medians: (operation, image, next to, at most).
GOALS = (
    ("pull", "large", "docker", 0.5),
    ("pull", "large", "podman", 0.5),
    ("load", "large", "docker", 0.5),
    ("save", "large", "docker", 0.5),
    ("run", "small", "docker", 0.5),
)
MEMORY_GOAL = 200 << 20


class Results(NamedTuple):
    """Everything that a run found out.

    :ivar times: by (image, operation), then engine.
    :ivar memory: peak bytes during a pull by image, then engine.
    :ivar images: a line of description by image.
    """

    versions: dict[str, str]
    images: dict[str, str]
    times: dict[tuple[str, str], dict[str, list[Timing]]]
    memory: dict[str, dict[str, int]]
    rounds: int
    started: str
    directory: str


def text(results: Results) -> str:
    """The whole page."""
    parts = [_head(results), _goals(results)]
    for (image, operation), by_engine in results.times.items():
        parts.append(_table(f"{operation}, {image} image", by_engine))
    if results.memory:
        parts.append(_memory(results.memory))
    return "\n".join(parts)


def write_part(path: str, part: str) -> None:
    """Put ``part``, which begins with a heading of the first level, in the place of the one with the same heading.

    A part with another heading stays as it is; a new one goes to the end.
    """
    parts: list[str] = []
    if os.path.exists(path):
        with open(path) as file:
            for line in file:
                if line.startswith("# ") or not parts:
                    parts.append("")
                parts[-1] += line
    heading = part.splitlines()[0]
    places = [number for number, known in enumerate(parts) if known.startswith(f"{heading}\n")]
    part = part.rstrip("\n") + "\n"
    if places:
        parts[places[0]] = part
    else:
        parts.append(part)
    with open(path, "w") as file:
        file.write("\n".join(one.rstrip("\n") + "\n" for one in parts))


def machine(directory: str) -> str:
    """Processor, memory, the file system of ``directory``, system."""
    return (
        f"{_processor()}, {os.cpu_count()} cores, {_memory_size()}, {_file_system(directory)}; {_distribution()}, "
        f"Linux {platform.release()}, Python {platform.python_version()}"
    )


def _head(results: Results) -> str:
    lines = [
        "# Benchmark results",
        "",
        f"Measured on {results.started} by `bench/run`, {results.rounds} rounds; the engines take turns within each "
        "round, each round in another order.",
        "",
        f"- machine: {_processor()}, {os.cpu_count()} cores, {_memory_size()}, {_file_system(results.directory)}",
        f"- system: {_distribution()}, Linux {platform.release()}, Python {platform.python_version()}",
        f"- versions: {', '.join(f'{name} {version}' for name, version in results.versions.items())}",
        *(f"- {name} image: {description}" for name, description in results.images.items()),
        "- every engine has its storage on the same disk and uses overlayfs; the registry is Debian's docker-registry "
        "on the loopback, plain http",
        "- page cache: warm for everybody. The registry's blobs and the archives are read once before the first round, "
        "and a `sync` precedes each measurement so that nobody waits for what another one left to write.",
        "- lamina's pull and load end with a `syncfs`: the image is on disk when the command ends. docker's, podman's "
        "and ctr's may still have layers to write then; that is not added to their times.",
        "- commands print to a file or not at all (`-q` where there is one)",
        "",
    ]
    return "\n".join(lines)


def _goals(results: Results) -> str:
    lines = ["## Goals", "", "| what | next to | goal | measured | |", "|---|---|---|---|---|"]
    for operation, image, other, goal in GOALS:
        by_engine = results.times.get((image, operation), {})
        if not by_engine.get("lamina") or not by_engine.get(other):
            lines.append(f"| {operation}, {image} | {other} | {goal} | not measured | |")
            continue
        ratio = _wall(by_engine["lamina"]) / _wall(by_engine[other])
        lines.append(f"| {operation}, {image} | {other} | {goal} | {ratio:.2f} | {_verdict(ratio <= goal)} |")
    peak = results.memory.get("large", {}).get("lamina")
    if peak is not None:
        measured = f"{peak / 2**20:.0f} MiB"
        lines.append(f"| peak memory of pull, large | | 200 MiB | {measured} | {_verdict(peak <= MEMORY_GOAL)} |")
    return "\n".join([*lines, ""])


def _verdict(met: bool) -> str:
    return "met" if met else "**missed**"


def _wall(times: list[Timing]) -> float:
    return statistics.median(one.wall for one in times)


def _table(title: str, by_engine: dict[str, list[Timing]]) -> str:
    head = "| engine | median s | min | max | CPU s, median | lamina / it |"
    lines = [f"## {title}", "", head, "|---|---|---|---|---|---|"]
    own = _wall(by_engine["lamina"]) if by_engine.get("lamina") else None
    for name, times in by_engine.items():
        if not times:
            lines.append(f"| {name} | failed | | | | |")
            continue
        median, walls = _wall(times), [one.wall for one in times]
        cpu = statistics.median(one.cpu for one in times)
        ratio = f"{own / median:.2f}" if own is not None and name != "lamina" else ""
        lines.append(f"| {name} | {median:.3f} | {min(walls):.3f} | {max(walls):.3f} | {cpu:.3f} | {ratio} |")
    return "\n".join([*lines, ""])


def _memory(memory: dict[str, dict[str, int]]) -> str:
    lines = [
        "## Peak memory of a pull",
        "",
        "Largest sum of the proportional set sizes of the command, its daemon and their children, sampled 20 times a "
        "second in a pull of its own.",
        "",
        "| image | engine | MiB |",
        "|---|---|---|",
    ]
    for image, by_engine in memory.items():
        lines += [f"| {image} | {name} | {peak / 2**20:.0f} |" for name, peak in by_engine.items()]
    return "\n".join([*lines, ""])


def now() -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())


def _line(path: str, prefix: str) -> str:
    with open(path) as file:
        for line in file:
            if line.startswith(prefix):
                return line[len(prefix) :].strip(" \t\n:=").strip('"')
    return "unknown"


def _processor() -> str:
    return _line("/proc/cpuinfo", "model name")


def _memory_size() -> str:
    return f"{int(_line('/proc/meminfo', 'MemTotal').split()[0]) / 2**20:.0f} GiB of memory"


def _distribution() -> str:
    return _line("/etc/os-release", "PRETTY_NAME")


def _file_system(directory: str) -> str:
    """Device and type of the file system that holds ``directory``."""
    best = ("", "unknown")
    with open("/proc/self/mounts") as file:
        for line in file:
            device, place, kind, *_ = line.split()
            if (directory + "/").startswith(place.rstrip("/") + "/") and len(place) >= len(best[0]):
                best = (place, f"{kind} on {device}")
    return best[1]

"""Builds, next to docker's classic builder and buildah: ``python -m bench.builds``, as root.

Twenty ``RUN`` steps on busybox, the same again from the cache, and a context of 20,000 files of which one has changed.
All of them build on the host's network, so that none makes one that another does not have to, and each has a new ext4
for its storage, so that none pays for what another removes. The figures go to their part of ``RESULTS.md``.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from bench import images, measure, report
from bench.engines import Docker, Lamina
from bench.storage import new_ext4

STEPS = 20
FILES = 20_000
_IMAGE = "bench/busybox:latest"
#: Ratio of medians that is wanted, by what is measured and next to whom.
GOALS = {
    ("20 RUN steps", "docker"): 0.12,
    ("20 RUN steps", "buildah"): 0.15,
    ("one of 20,000 files changed", "docker"): 0.5,
}
#: Seconds that are wanted of lamina alone.
LIMITS = {"20 cached steps": 0.15}
#: Where ``RESULTS.md`` tells of it.
HEADING = "# Builds"
_Times = dict[str, dict[str, list[float]]]


class Builder:
    """One engine: how it loads an image and builds; ``daemons`` are processes whose CPU time counts too."""

    def __init__(self, name: str, load: list[str], build: list[str], daemons: Callable[[], list[int]]) -> None:
        self.name = name
        self.load = load
        self._build = build
        self.daemons = daemons

    def build(self, directory: str, *, cached: bool) -> list[str]:
        return [*self._build, *([] if cached else ["--no-cache"]), directory]


@contextmanager
def builders(work: str, program: str) -> Iterator[list[Builder]]:
    """lamina, docker and buildah, ready to build."""
    docker = Docker(work)
    lamina = Lamina(work, program)
    buildah = [
        "buildah",
        "--root",
        f"{work}/buildah/root",
        "--runroot",
        f"{work}/buildah/run",
        "--storage-driver=overlay",
    ]
    archive = f"{work}/busybox.tar"
    with ExitStack() as stack:
        for name in ("lamina", "docker", "buildah"):
            stack.enter_context(new_ext4(f"{work}/{name}"))
        stack.enter_context(docker.serve())
        yield [
            Builder("lamina", lamina.load(archive), [*lamina.command, "build", "-q", "--network", "host"], list),
            Builder(
                "docker",
                docker.load(archive),
                ["env", "DOCKER_BUILDKIT=0", *docker.command, "build", "-q", "--network", "host"],
                lambda: docker.processes,
            ),
            Builder(
                "buildah",
                [*buildah, "pull", "-q", f"docker-archive:{archive}"],
                [*buildah, "build", "-q", "--layers", "--network", "host", "--runtime", "runc"],
                list,
            ),
        ]


def _steps(directory: str) -> str:
    os.makedirs(directory)
    lines = [f"FROM {_IMAGE}", *(f"RUN echo {number} > /file{number}" for number in range(STEPS))]
    with open(f"{directory}/Dockerfile", "w") as file:
        file.write("\n".join(lines) + "\n")
    return directory


def _files(directory: str) -> str:
    for number in range(FILES):
        folder = f"{directory}/{number // 100}"
        os.makedirs(folder, exist_ok=True)
        with open(f"{folder}/{number}", "w") as file:
            file.write(f"{number}\n" * 100)
    with open(f"{directory}/Dockerfile", "w") as file:
        file.write(f"FROM {_IMAGE}\nCOPY . /src/\n")
    return directory


def main() -> int:
    options = _options()
    work = options.work
    shutil.rmtree(work, ignore_errors=True)
    os.makedirs(work)
    about = (
        f"Measured on {report.now()} by `make bench-builds`, {options.rounds} rounds; medians in seconds. The engines "
        f"take turns within each round, each round in another order. Machine: {report.machine(work)}, load "
        f"{os.getloadavg()[0]:.1f} at the start."
    )
    try:
        source = f"oci:{images.small(options.cache).layout}"
        subprocess.run(["skopeo", "copy", "-q", source, f"docker-archive:{work}/busybox.tar:{_IMAGE}"], check=True)
        times = _measured(work, options.lamina, options.rounds)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    part = "\n\n".join([HEADING, about, "\n".join(_goals(times)), "\n".join(_table(times))])
    print(part)
    if options.output:
        report.write_part(options.output, part)
    return 0


def _measured(work: str, program: str, rounds: int) -> _Times:
    times: _Times = {}
    steps, files = _steps(f"{work}/steps"), _files(f"{work}/files")
    with ExitStack() as stack:
        engines = stack.enter_context(builders(work, program))
        for engine in engines:
            subprocess.run(engine.load, check=True, stdout=subprocess.DEVNULL)
            subprocess.run(engine.build(files, cached=True), check=True, stdout=subprocess.DEVNULL)
        for number in range(rounds):
            with open(f"{files}/0/0", "w") as file:
                file.write(f"round {number}\n")
            turn = number % len(engines)
            for engine in [*engines[turn:], *engines[:turn]]:
                for what, directory, cached in (
                    (f"{STEPS} RUN steps", steps, False),
                    (f"{STEPS} cached steps", steps, True),
                    ("one of 20,000 files changed", files, True),
                ):
                    measure.settle()
                    taken = measure.timing(engine.build(directory, cached=cached), engine.daemons())
                    times.setdefault(what, {}).setdefault(engine.name, []).append(taken.wall)
                    print(f"{what}, {engine.name}: {taken.wall:.3f} s", flush=True)
    return times


def _goals(times: _Times) -> Iterator[str]:
    """How the figures stand to what is wanted."""
    yield "| what | next to | at most | measured | |\n|---|---|---|---|---|"
    for (what, other), ratio in GOALS.items():
        found = statistics.median(times[what]["lamina"]) / statistics.median(times[what][other])
        yield f"| {what} | {other} | {ratio:.2f} | {found:.3f} | {'met' if found <= ratio else '**missed**'} |"
    for what, limit in LIMITS.items():
        found = statistics.median(times[what]["lamina"])
        yield f"| {what} | | {limit:.2f} s | {found:.3f} s | {'met' if found <= limit else '**missed**'} |"


def _table(times: _Times) -> Iterator[str]:
    engines = list(next(iter(times.values())))
    yield f"| what | {' | '.join(engines)} |\n|---|{'---|' * len(engines)}"
    for what, by_engine in times.items():
        yield f"| {what} | " + " | ".join(f"{statistics.median(by_engine[name]):.3f}" for name in engines) + " |"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.builds", description=__doc__)
    parser.add_argument("--cache", default="/var/tmp/lamina-bench-images", help="where the built images stay")
    parser.add_argument("--work", default="/var/tmp/lamina-bench-builds", help="storage; removed at the end")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--lamina", default=os.path.join(os.path.dirname(sys.executable), "lamina"))
    parser.add_argument("--output", default=os.path.join(os.path.dirname(__file__), "RESULTS.md"), help="'' for none")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

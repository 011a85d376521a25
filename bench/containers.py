"""Containers, next to docker: ``python -m bench.containers``, as root.

``run --rm`` with the bridge and without a network, ``run -d``, ``exec``, ``start`` of a container that exists, and
fifty containers started at once that then all answer by name. Both work in one network namespace of the benchmark's.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from bench import images, measure
from bench.engines import Docker, Lamina

_IMAGE = "bench/busybox:latest"
_NETWORK = "many"
#: Ratio of medians to docker's that is wanted.
GOALS = {
    "run --rm, bridge": 0.2,
    "run --rm, no network": 0.2,
    "run -d, bridge": 0.2,
    "exec": 0.5,
    "start": 0.3,
    "many at once": 0.3,
}
_INSIDE = "LAMINA_BENCH_NETWORK_NAMESPACE"
_ANSWER_SECONDS = 30.0


class Subject:
    """One engine under test: a command line in docker's grammar, and its daemon's processes."""

    def __init__(self, name: str, command: list[str], daemons: Callable[[], list[int]]) -> None:
        self.name = name
        self._command = command
        self._daemons = daemons
        self._made = 0

    def say(self, *words: str) -> str:
        done = subprocess.run([*self._command, *words], check=True, stdin=subprocess.DEVNULL, capture_output=True)
        return done.stdout.decode().strip()

    def timed(self, *words: str) -> float:
        measure.settle()
        return measure.timing([*self._command, *words], self._daemons()).wall

    def prepare(self, archive: str) -> None:
        self.say("load", "-q", "-i", archive)
        self.say("network", "create", _NETWORK)
        self.say("run", "-d", "--name", "target", _IMAGE, "sleep", "100000")
        self.say("create", "--name", "again", _IMAGE, "true")

    def measures(self) -> Iterator[tuple[str, float]]:
        """One round of everything but the fifty."""
        yield "run --rm, bridge", self.timed("run", "--rm", _IMAGE, "true")
        yield "run --rm, no network", self.timed("run", "--rm", "--network", "none", _IMAGE, "true")
        self._made += 1
        yield "run -d, bridge", self.timed("run", "-d", "--name", f"detached{self._made}", _IMAGE, "sleep", "100000")
        self.say("rm", "-f", f"detached{self._made}")
        yield "exec", self.timed("exec", "target", "true")
        yield "start", self.timed("start", "again")
        self.say("wait", "again")

    def many(self, count: int) -> float:
        """Seconds until ``count`` containers, started at once, run; checks that each answers by its name."""
        measure.settle()
        server = ("httpd", "-f", "-p", "80", "-h", "/etc")
        started = time.perf_counter()
        running = [
            subprocess.Popen(
                [*self._command, "run", "-d", "--network", _NETWORK, "--name", f"many{number}", _IMAGE, *server],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
            )
            for number in range(count)
        ]
        errors = [process.communicate()[1] for process in running]
        taken = time.perf_counter() - started
        names = [f"many{number}" for number in range(count)]
        try:
            failed = [error.decode() for process, error in zip(running, errors, strict=True) if process.returncode]
            if failed:
                raise measure.FailedCommandError(f"{len(failed)} of {count} did not start: {failed[0]}")
            self._require_answers(names)
        finally:
            self.say("rm", "-f", *names)
        return taken

    def _require_answers(self, names: list[str]) -> None:
        script = " && ".join(f"wget -q -O /dev/null http://{name}/hostname" for name in names)
        deadline = time.monotonic() + _ANSWER_SECONDS
        while True:
            try:
                self.say("run", "--rm", "--network", _NETWORK, _IMAGE, "sh", "-c", script)
            except subprocess.CalledProcessError as error:
                if time.monotonic() > deadline:
                    raise measure.FailedCommandError(f"{self.name}: not all answer: {error.stderr!r}") from error
            else:
                return

    def clean(self) -> None:
        names = self.say("ps", "-aq").split()
        if names:
            self.say("rm", "-f", *names)
        self.say("network", "prune", "-f")


@contextmanager
def _subjects(work: str, program: str) -> Iterator[list[Subject]]:
    docker = Docker(work, bridge=True)
    lamina = Lamina(work, program)
    subjects = [Subject("lamina", lamina.command, list), Subject("docker", docker.command, lambda: docker.processes)]
    with docker.serve():
        try:
            yield subjects
        finally:
            for subject in subjects:
                subject.clean()


def main() -> int:
    options = _options()
    if _INSIDE not in os.environ:
        return subprocess.run(
            ["unshare", "--net", sys.executable, "-m", "bench.containers", *sys.argv[1:]],
            env={**os.environ, _INSIDE: "1"},
            check=False,
        ).returncode
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    shutil.rmtree(options.work, ignore_errors=True)
    os.makedirs(options.work)
    times: dict[str, dict[str, list[float]]] = {}

    def note(what: str, subject: Subject, seconds: float) -> None:
        times.setdefault(what, {}).setdefault(subject.name, []).append(seconds)
        print(f"{what}, {subject.name}: {seconds * 1000:.0f} ms", flush=True)

    try:
        archive = f"{options.work}/busybox.tar"
        source = f"oci:{images.small(options.cache).layout}"
        subprocess.run(["skopeo", "copy", "-q", source, f"docker-archive:{archive}:{_IMAGE}"], check=True)
        with _subjects(options.work, options.lamina) as subjects:
            for subject in subjects:
                subject.prepare(archive)
            for number in range(options.rounds):
                for subject in subjects if number % 2 else reversed(subjects):
                    for what, seconds in subject.measures():
                        note(what, subject, seconds)
            for _ in range(options.many_rounds):
                for subject in subjects:
                    note("many at once", subject, subject.many(options.many))
    finally:
        shutil.rmtree(options.work, ignore_errors=True)
    print("\n".join(_report(times)))
    return 0


def _report(times: dict[str, dict[str, list[float]]]) -> Iterator[str]:
    yield "| what | lamina ms | docker ms | ratio | goal | |"
    yield "|---|---|---|---|---|---|"
    for what, by_engine in times.items():
        own, other = (statistics.median(by_engine[name]) * 1000 for name in ("lamina", "docker"))
        verdict = "met" if own / other <= GOALS[what] else "missed"
        yield f"| {what} | {own:.0f} | {other:.0f} | {own / other:.2f} | {GOALS[what]} | {verdict} |"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.containers", description=__doc__)
    parser.add_argument("--cache", default="/var/tmp/lamina-bench-images", help="where the built images stay")
    parser.add_argument("--work", default="/var/tmp/lamina-bench-containers", help="storage; removed at the end")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--many", type=int, default=50, help="containers that are started at once")
    parser.add_argument("--many-rounds", type=int, default=3)
    parser.add_argument("--lamina", default=os.path.join(os.path.dirname(sys.executable), "lamina"))
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

"""Runs the benchmarks and writes ``RESULTS.md``."""

from __future__ import annotations

import argparse
import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack

from bench import images, measure, report
from bench.engines import Containerd, Docker, Engine, Lamina, Podman
from bench.services import registry

OPERATIONS = ("pull", "save", "run", "load")
ENGINES = ("lamina", "docker", "podman", "ctr")
HERE = os.path.dirname(os.path.abspath(__file__))


def main() -> int:
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the daemons end too
    if os.geteuid() != 0:
        print("bench: the engines need root", file=sys.stderr)
        return 1
    sources = {}
    if "large" in options.images:
        print(f"large image: from {options.cache}, or built there, which takes some minutes", flush=True)
        sources["large"] = images.large(options.cache)
    if "small" in options.images:
        sources["small"] = images.small(options.cache)
    os.makedirs(options.work, exist_ok=True)
    try:
        with ExitStack() as stack:
            results = Bench(options, sources, stack).run()
    finally:
        shutil.rmtree(options.work, ignore_errors=True)
    page = report.text(results)
    print(page)
    if options.output:
        report.write_part(options.output, page)
    return 0


class Bench:
    """One run: engines and registry are up for as long as ``stack`` lasts."""

    def __init__(self, options: argparse.Namespace, sources: dict[str, images.LocalImage], stack: ExitStack) -> None:
        self._options = options
        self._sources = sources
        self._address = stack.enter_context(registry(f"{options.work}/registry"))
        self._engines = _engines(options)
        for engine in self._engines:
            stack.enter_context(engine.serve())
        self._containers = 0
        self._times: dict[tuple[str, str], dict[str, list[measure.Timing]]] = {
            (image, operation): {engine.name: [] for engine in self._engines}
            for image in sources
            for operation in options.operations
        }

    def run(self) -> report.Results:
        started = report.now()
        archives = {name: self._publish(name, image) for name, image in self._sources.items()}
        for number in range(self._options.rounds):
            for name in self._sources:
                turn = number % len(self._engines)
                for engine in [*self._engines[turn:], *self._engines[:turn]]:
                    self._round(name, engine, archives[name])
        memory = {name: self._memory(name) for name in self._sources} if "pull" in self._options.operations else {}
        return report.Results(
            versions={engine.name: engine.version() for engine in self._engines},
            images={name: _description(image) for name, image in self._sources.items()},
            times=self._times,
            memory=memory,
            rounds=self._options.rounds,
            started=started,
            directory=self._options.work,
        )

    def _reference(self, name: str) -> str:
        return f"{self._address}/{self._sources[name].name}"

    def _publish(self, name: str, image: images.LocalImage) -> str:
        """Push the image, make a Docker archive of it, read both once; the archive's path."""
        archive = f"{self._options.work}/{name}.tar"
        reference = self._reference(name)
        source = f"oci:{image.layout}"
        subprocess.run(["skopeo", "copy", "-q", "--dest-tls-verify=false", source, f"docker://{reference}"], check=True)
        subprocess.run(["skopeo", "copy", "-q", source, f"docker-archive:{archive}:{reference}"], check=True)
        return archive

    def _round(self, name: str, engine: Engine, archive: str) -> None:
        reference = self._reference(name)
        saved = f"{self._options.work}/saved.tar"
        steps: dict[str, Callable[[], list[str]]] = {
            "pull": lambda: engine.pull(reference),
            "save": lambda: engine.save(reference, saved),
            "run": lambda: self._run_command(engine, reference),
            "load": lambda: engine.load(archive),
        }
        if "pull" not in self._options.operations:
            subprocess.run(engine.load(archive), check=True, stdout=subprocess.DEVNULL)
        for operation in OPERATIONS:
            if operation not in self._options.operations:
                continue
            if operation == "load":
                self._remove(engine, reference)
            repeats = self._options.containers if operation == "run" else 1
            for _ in range(repeats):
                self._time(name, operation, engine, steps[operation])
            if os.path.exists(saved):
                os.unlink(saved)
        self._remove(engine, reference)

    def _time(self, name: str, operation: str, engine: Engine, command: Callable[[], list[str]]) -> None:
        measure.settle()
        try:
            taken = measure.timing(command(), engine.processes)
        except measure.FailedCommandError as error:
            print(f"{name} {operation} {engine.name}: {error}", file=sys.stderr, flush=True)
            return
        self._times[name, operation][engine.name].append(taken)
        print(f"{name} {operation} {engine.name}: {taken.wall:.3f} s, {taken.cpu:.3f} s of CPU", flush=True)

    def _run_command(self, engine: Engine, reference: str) -> list[str]:
        self._containers += 1
        return engine.run(reference, self._containers)

    def _remove(self, engine: Engine, reference: str) -> None:
        subprocess.run(engine.remove(reference), check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def _memory(self, name: str) -> dict[str, int]:
        peaks = {}
        for engine in self._engines:
            reference = self._reference(name)
            try:
                peaks[engine.name] = measure.peak_memory(engine.pull(reference), engine.processes)
            except measure.FailedCommandError as error:
                print(f"memory of pull, {engine.name}: {error}", file=sys.stderr)
            self._remove(engine, reference)
        return peaks


def _engines(options: argparse.Namespace) -> list[Engine]:
    made: dict[str, Callable[[], Engine]] = {
        "lamina": lambda: Lamina(options.work, options.lamina),
        "docker": lambda: Docker(options.work),
        "podman": lambda: Podman(options.work),
        "ctr": lambda: Containerd(options.work),
    }
    return [made[name]() for name in options.engines]


def _description(image: images.LocalImage) -> str:
    with open(f"{image.layout}/index.json") as file:
        digest = json.load(file)["manifests"][0]["digest"]
    with open(f"{image.layout}/blobs/{digest.replace(':', '/')}") as file:
        layers = json.load(file)["layers"]
    plain = sum(_plain_size(f"{image.layout}/blobs/{layer['digest'].replace(':', '/')}") for layer in layers)
    packed = sum(layer["size"] for layer in layers)
    return (
        f"`{image.name}`, {len(layers)} layers, {plain / 1e6:.0f} MB of layer tars, {packed / 1e6:.0f} MB as gzip "
        "in the registry"
    )


def _plain_size(path: str) -> int:
    with gzip.open(path) as file:
        return sum(len(chunk) for chunk in iter(lambda: file.read(1 << 20), b""))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench/run", description="lamina next to docker, podman and ctr")
    parser.add_argument("--cache", default="/var/tmp/lamina-bench-images", help="where the built images stay")
    parser.add_argument("--work", default="/var/tmp/lamina-bench", help="storage of the engines; removed at the end")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--containers", type=int, default=10, help="containers started in each round")
    parser.add_argument("--images", type=_choice("large", "small"), default=["large", "small"])
    parser.add_argument("--operations", type=_choice(*OPERATIONS), default=list(OPERATIONS))
    parser.add_argument("--engines", type=_choice(*ENGINES), default=list(ENGINES))
    parser.add_argument("--lamina", default=os.path.join(os.path.dirname(sys.executable), "lamina"))
    parser.add_argument("--output", default=os.path.join(HERE, "RESULTS.md"), help="'' to write nothing")
    return parser.parse_args()


def _choice(*allowed: str) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        chosen = text.split(",")
        if unknown := set(chosen) - set(allowed):
            raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))}: choose from {', '.join(allowed)}")
        return chosen

    return parse


if __name__ == "__main__":
    sys.exit(main())

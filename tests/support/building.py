"""Building with the installed command, and in this process."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from lamina.builder.build import build as build_here
from lamina.builder.progress import OUTPUT, StepEvent, Steps
from lamina.builder.request import BuildRequest, BuildResult
from lamina.reference import parse_tagged
from support.command import Lamina
from support.images import busybox_image
from support.storage import Storage, open_storage


def build(lamina: Lamina, context: Path, dockerfile: str, *options: str, **keywords: Any) -> str:
    """Build, which must succeed; what was said about it."""
    (context / "Dockerfile").write_text(dockerfile)
    done = lamina.run("build", *options, str(context), **keywords)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stderr


def refused(lamina: Lamina, context: Path, dockerfile: str, *options: str, **keywords: Any) -> str:
    """Build, which must fail; what was said about it."""
    (context / "Dockerfile").write_text(dockerfile)
    done = lamina.run("build", *options, str(context), **keywords)
    assert done.returncode, done.stdout + done.stderr
    return done.stderr


def inspect(lamina: Lamina, name: str) -> dict[str, Any]:
    """``image inspect``."""
    document: dict[str, Any] = json.loads(lamina("image", "inspect", name))[0]
    return document


def files_below(root: str) -> bytes:
    """Contents of all files there; what is removed meanwhile, of a container that has ended, is left out."""
    found = []
    for directory, _, names in os.walk(root):
        for name in names:
            path = Path(directory, name)
            with suppress(FileNotFoundError):
                if path.is_file():
                    found.append(path.read_bytes())
    return b"".join(found)


def left_over(lamina: Lamina) -> list[str]:
    """Traces of builds and containers that should have none, once what goes on in the background is done."""
    run = f"{lamina.root}/lamina/run"
    deadline = time.monotonic() + 30
    while True:
        found = _processes_of(lamina.root) + (os.listdir(run) if os.path.exists(run) else [])
        found += [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if lamina.root in line]
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(0.05)


def _processes_of(root: str) -> list[str]:
    """Processes whose root directory is below ``root``."""
    found = []
    for entry in os.listdir("/proc"):
        with suppress(OSError):
            if entry.isdigit() and os.readlink(f"/proc/{entry}/root").startswith(root):
                found.append(entry)
    return found


class LocalBuilder:
    """Builds in this process, on a root with the image ``busybox``.

    :ivar events: of the last build.
    """

    def __init__(self, path: str, context: Path) -> None:
        self.storage: Storage = open_storage(path, "overlay2")
        self.storage.add(busybox_image(), "busybox")
        self.context = context
        self.events: list[StepEvent] = []

    def build(
        self, dockerfile: str, watch: Callable[[StepEvent], None] = lambda event: None, *, no_cache: bool = False
    ) -> BuildResult:
        self.events = []

        def report(event: StepEvent) -> None:
            self.events.append(event)
            watch(event)

        request = BuildRequest(dockerfile.encode(), context=str(self.context), epoch=10**9, no_cache=no_cache)
        storage = self.storage
        return build_here(storage.root, storage.layers, storage.images, request, steps=Steps(report))

    def name(self, result: BuildResult, name: str) -> None:
        with self.storage.images.lock():
            self.storage.images.tag(result.image_id, parse_tagged(name))

    def layers(self) -> set[str]:
        return {str(layer.chain_id) for layer in self.storage.layers.all()}

    def kinds(self, text: str) -> list[str]:
        """What was told of the step with that text."""
        return [event.kind for event in self.events if event.name.endswith(text) and event.kind != OUTPUT]

"""``kill -9`` at random moments of a build: no mount, no process and no half image stay, and what was finished is used.

``LAMINA_CRASH_SEED`` repeats a sequence of moments, ``LAMINA_CRASH_ROUNDS`` says how many there are.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.command import Lamina
from support.leaks import LeakCheck
from support.mounts import memory_file_system
from support.processes import wait_until
from support.storage import open_storage

pytestmark = [pytest.mark.crash, pytest.mark.root, pytest.mark.slow, pytest.mark.needs("crun")]

_ROUNDS = int(os.environ.get("LAMINA_CRASH_ROUNDS") or 20)
_STEPS = 6
_STEP_LINES = "\n".join(f"RUN echo {number} > /step{number}" for number in range(_STEPS))
#: A base that all share, two stages that may be built at once, one that needs both.
_DOCKERFILE = f"""\
FROM busybox:base AS one
COPY files /files
{_STEP_LINES}
COPY --link files /linked
COPY --link files/1 files/2 /few/
FROM busybox:base AS two
RUN --mount=type=cache,target=/cache echo $$ >> /cache/runs && mkdir /made && cp -r /bin/busybox /made/
FROM one
ARG ROUND
COPY --from=two /made /made
RUN sleep 0.05 && echo $ROUND > /round
CMD ["true"]
"""


class Builds:
    """Builds of one context, each with a step of its own."""

    def __init__(self, lamina: Lamina, context: Path) -> None:
        self.lamina = lamina
        self.context = context
        seed = os.environ.get("LAMINA_CRASH_SEED") or str(random.SystemRandom().randrange(10**9))
        print(f"LAMINA_CRASH_SEED={seed}")  # shown when the test fails
        self._random = random.Random(seed)
        self._leaks = LeakCheck(lamina.root)
        self.duration = 0.0

    def command(self, number: int, *options: str) -> list[str]:
        return ["build", "-t", f"built:{number}", "--build-arg", f"ROUND={number}", *options, str(self.context)]

    def measure(self) -> None:
        """Build once, without the cache: kills fall into a time as long."""
        started = time.monotonic()
        self.lamina(*self.command(0, "--no-cache"))
        self.duration = time.monotonic() - started

    def kill(self, number: int) -> None:
        """Start a build and kill it at a random moment."""
        process = self.lamina.start(*self.command(number, *self._random.choice(([], ["--no-cache"]))))
        time.sleep(self.duration * self._random.triangular(0.2, 1.1, 0.7))
        process.kill()
        process.communicate()

    def check(self) -> None:
        """Nothing of a killed build is left once the root has been opened, and every image is whole."""
        wait_until(self._recovered, seconds=20, what="the end of a killed build")
        storage = open_storage(self.lamina.root, "overlay2")
        deadline = time.monotonic() + 20  # the monitor of the container before may be freeing space
        while (found := storage.findings(deep=True)) and time.monotonic() < deadline:
            time.sleep(0.2)
        assert found == []
        assert self._leaks.leftovers(20) == []
        for image in storage.images.all():
            with storage.layers.mounted_image(image.config.chain_id) as path:
                assert os.path.exists(f"{path}/bin/busybox")
                assert os.path.exists(f"{path}/round") or image.config.config.get("Cmd") != ["true"]

    def _recovered(self) -> bool:
        return not open_storage(self.lamina.root, "overlay2").layers.needs_recovery()

    def finish(self, number: int) -> None:
        """The next build works, and takes from the cache what the one before had finished."""
        self.lamina(*self.command(number))
        done = self.lamina.run(*self.command(number, "--progress", "plain"))
        assert done.returncode == 0
        assert done.stderr.count("CACHED") == _STEPS + 6, done.stderr
        assert self.lamina("run", "--rm", "--network", "none", f"built:{number}", "cat", "/round") == f"{number}\n"


@pytest.fixture
def builds(lamina_on: Callable[..., Lamina], tmp_path: Path, busybox_archive: str) -> Iterator[Builds]:
    context = tmp_path / "context"
    (context / "files").mkdir(parents=True)
    for number in range(200):
        (context / "files" / str(number)).write_text(f"{number}\n" * 50)
    (context / "Dockerfile").write_text(_DOCKERFILE)
    with memory_file_system(str(tmp_path / "memory")) as memory:
        lamina = lamina_on(f"{memory}/root")
        loaded = lamina("load", "--quiet", "--input", busybox_archive).strip().rpartition(" ")[2]
        lamina("tag", loaded, "busybox:base")
        yield Builds(lamina, context)
        lamina.remove_containers()


def test_a_killed_build_leaves_nothing_and_the_next_uses_what_was_finished(builds: Builds) -> None:
    builds.measure()
    for number in range(1, _ROUNDS + 1):
        builds.kill(number)
        builds.check()
        if number % 5 == 0:
            builds.finish(number)

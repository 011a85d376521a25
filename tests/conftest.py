"""Fixtures that every kind of test shares. What they stand for is in ``support``.

Services are real (Debian's dockerd and docker-registry), each on its own root, socket and loopback port, and end with
the test or session that started them. A test that lacks a program or a right is skipped and says why.
"""

from __future__ import annotations

import itertools
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from support import images, leaks, mounts, networks, programs
from support.command import Lamina
from support.dockerd import Dockerd
from support.registry import Registry

#: Official images for whoever has them beside the project; a fresh clone does not.
SHARED_IMAGES = Path(__file__).resolve().parents[2] / "shared" / "images"

#: Folders whose tests start programs or mount: what they leave behind is checked after each test.
_CHECKED_FOLDERS = {"integration", "compat", "hostile", "crash", "conformance"}


def pytest_configure(config: pytest.Config) -> None:
    leaks.mark_session()
    # A shell starts what runs in the background without interrupts, nohup without hang-ups, and programs inherit that.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # What ends the tests from outside is to leave nothing behind either: fixtures clean up after an interrupt.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    for number in (signal.SIGHUP, signal.SIGQUIT):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    # How long an example takes says how busy the machine is, and nothing of the code.
    settings.register_profile("lamina", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("lamina")


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("root") or item.get_closest_marker("dockerd"):
        programs.need_root()
    if item.get_closest_marker("dockerd"):
        programs.need("dockerd")
    if item.get_closest_marker("registry"):
        programs.need("docker-registry")
    for marker in item.iter_markers("needs"):
        programs.need(*marker.args)


@pytest.fixture(scope="session", autouse=True)
def nobodys_credentials(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """skopeo, podman and buildah use no credentials of whoever runs the tests, nor a place that only root may read."""
    file = tmp_path_factory.mktemp("credentials") / "auth.json"
    file.write_text("{}")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("REGISTRY_AUTH_FILE", str(file))
        yield


@pytest.fixture(scope="session", autouse=True)
def no_bridges_left_behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Fail a session that leaves bridges and tables of its roots: those of a root that tests share outlast a test."""
    yield
    if os.geteuid() == 0:
        left = networks.left_below(str(tmp_path_factory.getbasetemp()))
        assert not left, "left behind:\n" + "\n".join(left)


@pytest.fixture(autouse=True)
def nothing_left_behind(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Fail a test that leaves mounts below pytest's temporary folder, or processes."""
    if not _CHECKED_FOLDERS & set(request.node.path.parts):
        yield
        return
    check = leaks.LeakCheck(str(tmp_path_factory.getbasetemp()))
    yield
    left = check.leftovers()
    if os.geteuid() == 0:
        networks.remove_idle_bridges(str(tmp_path_factory.getbasetemp()))
    assert not left, "left behind:\n" + "\n".join(left)


# lamina


@pytest.fixture
def lamina_on(tmp_path: Path) -> Iterator[Callable[..., Lamina]]:
    """``lamina_on(ROOT, *OPTIONS)``: the installed command on any root; its containers are removed at the end."""
    made: list[Lamina] = []

    def make(root: str | Path, *options: str) -> Lamina:
        made.append(Lamina(str(root), str(tmp_path / "docker-config"), options))
        return made[-1]

    yield make
    for command in made:
        command.remove_containers()


@pytest.fixture
def lamina(lamina_on: Callable[..., Lamina], tmp_path: Path) -> Lamina:
    """The installed command on an empty root: ``lamina("images", "-q")`` is its output, ``lamina.run`` never raises."""
    programs.need_root()
    return lamina_on(tmp_path / "root")


# Services


@pytest.fixture(scope="session")
def dockerd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dockerd]:
    """One dockerd for the whole session. Tests share it: use names of your own and remove what you make."""
    programs.need_root()
    programs.need("dockerd")
    root = tmp_path_factory.mktemp("dockerd")
    daemon = Dockerd(str(root))
    try:
        yield daemon.start()
    finally:
        daemon.close()
        shutil.rmtree(root, ignore_errors=True)


@pytest.fixture
def dockerd_on() -> Iterator[Callable[..., Dockerd]]:
    """``dockerd_on(ROOT, driver="overlay2", flags=())``: a dockerd, started, on any root."""
    programs.need_root()
    programs.need("dockerd")
    with ExitStack() as running:

        def make(root: str | Path, **options: Any) -> Dockerd:
            daemon = Dockerd(str(root), **options)
            running.callback(daemon.close)
            return daemon.start()

        yield make


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Callable[..., Registry]]:
    """``registry(users={"me": "secret"}, tls=True)``: an empty registry, started; without arguments an open one."""
    programs.need("docker-registry")
    numbers = itertools.count()
    with ExitStack() as running:

        def make(
            *, users: dict[str, str] | None = None, tls: bool = False, environment: dict[str, str] | None = None
        ) -> Registry:
            if users:
                programs.need("htpasswd")
            if tls:
                programs.need("openssl")
            directory = tmp_path / f"registry-{next(numbers)}"
            server = Registry(str(directory), users=users, tls=tls, environment=environment)
            running.callback(server.stop)
            return server.start()

        yield make


# Images and places


def _needs_busybox() -> None:
    if images.busybox_path() is None:
        pytest.skip("needs busybox-static (scripts/packages.txt)")


@pytest.fixture(scope="session")
def busybox_image() -> images.TestImage:
    """One layer that can run."""
    _needs_busybox()
    return images.busybox_image()


@pytest.fixture(scope="session")
def layered_image() -> images.TestImage:
    """Four layers with changed, hidden and replaced files; see ``support.images.layered_image``."""
    _needs_busybox()
    return images.layered_image()


@pytest.fixture(scope="session")
def busybox_archive(busybox_image: images.TestImage, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Path of a Docker archive of :func:`busybox_image`, named ``busybox:latest``."""
    return busybox_image.docker_archive(str(tmp_path_factory.mktemp("archive") / "busybox.tar"), "busybox:latest")


@pytest.fixture(scope="session")
def layered_archive(layered_image: images.TestImage, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Path of a Docker archive of :func:`layered_image`, named ``layered:latest``."""
    return layered_image.docker_archive(str(tmp_path_factory.mktemp("archive") / "layered.tar"), "layered:latest")


@pytest.fixture
def small_file_system(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """``small_file_system(MEGABYTES, inodes=None)``: the mount point of an ext4 file system of that size."""
    programs.need_root()
    programs.need("mkfs.ext4")
    numbers = itertools.count()
    with ExitStack() as mounted:

        def make(megabytes: int, *, inodes: int | None = None) -> str:
            directory = tmp_path / f"loop-{next(numbers)}"
            directory.mkdir()
            return mounted.enter_context(mounts.loop_file_system(str(directory), megabytes, inodes=inodes))

        yield make


@pytest.fixture(scope="session")
def shared_images() -> Path:
    """The folder with official images; skips where it is absent."""
    if not SHARED_IMAGES.is_dir():
        pytest.skip(f"needs {os.path.relpath(SHARED_IMAGES, Path.cwd())}, which a fresh clone does not have")
    return SHARED_IMAGES

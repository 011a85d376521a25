"""A host in a network namespace of its own, a machine beside it, and one root with a busybox image."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import images, programs
from support.hosts import Host, LaminaOn
from support.images import LayerTar, TestImage

_APPLETS = ("hostname", "httpd", "ip", "nc", "nslookup", "ping", "wget")


@pytest.fixture(scope="session")
def network_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root that has ``busybox:latest``, with the programs for networks."""
    programs.need_root()
    programs.need("crun", "ip", "nft", "nsenter", "busybox")
    home = tmp_path_factory.mktemp("networks")
    layer = LayerTar()
    for name in _APPLETS:
        layer.symlink(f"bin/{name}", "busybox")
    config = {"Cmd": ["sh"], "Env": ["PATH=/bin"]}
    image = TestImage([images.busybox_layer().bytes(), layer.bytes()], config=config)
    archive = image.docker_archive(str(home / "busybox.tar"), "busybox:latest")
    host = Host()
    try:
        LaminaOn(host, str(home / "root"), str(home / "docker-config"))("load", "-q", "-i", archive)
    finally:
        host.close()
    return home


@pytest.fixture
def host() -> Iterator[Host]:
    """A host that nobody else uses."""
    programs.need_root()
    programs.need("crun", "ip", "nft", "nsenter", "busybox")
    made = Host()
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def box(network_root: Path, host: Host) -> Iterator[LaminaOn]:
    """The command on that host and root; its containers and networks are gone after the test."""
    command = LaminaOn(host, str(network_root / "root"), str(network_root / "docker-config"))
    yield command
    command.remove_containers()
    command.run("network", "prune", "-f")
    shutil.rmtree(network_root / "root" / "lamina" / "network", ignore_errors=True)

"""A data root of a dockerd with ``--userns-remap``, and lamina's."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from support import programs
from support.command import Lamina
from support.dockerd import Dockerd
from support.remapped import FLAGS, reachable_directory

pytestmark = [pytest.mark.dockerd, pytest.mark.needs("crun")]


@pytest.fixture
def directory() -> Iterator[str]:
    programs.need_root()
    with reachable_directory() as path:
        yield path


def test_each_goes_on_with_what_the_other_left(directory: str, busybox_archive: str) -> None:
    lamina = Lamina(f"{directory}/root", f"{directory}/docker-config", FLAGS)
    script = ["sh", "-c", "touch /new; chown 5:6 /new"]
    lamina("load", "-q", "-i", busybox_archive)
    lamina("run", "--name", "ours", "--network", "none", "-v", "data:/d", "busybox", *script)
    lamina("commit", "ours", "committed")
    layers = lamina("inspect", "--format", "{{json .RootFS}}", "committed")
    daemon = Dockerd(lamina.root, flags=list(FLAGS)).start()
    try:
        assert daemon.docker("inspect", "--format", "{{json .RootFS}}", "committed") == layers
        said = daemon.docker(
            "run", "--rm", "--network", "none", "-v", "data:/d", "committed", "stat", "-c", "%u:%g", "/new", "/d"
        )
        assert said.split() == ["5:6", "0:0"]
        daemon.docker("run", "--name", "theirs", "--network", "none", "busybox", *script)
        daemon.docker("commit", "theirs", "fromdocker")
        refused = {
            flags: daemon.run("run", "--rm", *flags, "busybox", "true").stderr.decode()
            for flags in (("--network", "host"), ("--pid", "host"), ("--privileged",))
        }
    finally:
        daemon.close()
    for flags, said in refused.items():
        ours = lamina.run("run", "--rm", *flags, "busybox", "true")
        assert ours.stderr == said.replace("docker", "lamina")
    assert lamina("run", "--rm", "--network", "none", "fromdocker", "stat", "-c", "%u:%g", "/new") == "5:6\n"
    assert json.loads(lamina("inspect", "theirs"))[0]["HostConfig"]["UsernsMode"] == ""
    assert lamina("start", "-a", "theirs") == ""
    lamina("rm", "ours", "theirs")

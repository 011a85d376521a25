"""A script of everyday commands says the same with docker and with lamina under docker's name."""

from __future__ import annotations

import difflib
import os
import re
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from support import images
from support.command import lamina_program
from support.dockerd import Dockerd
from support.hosts import Host, LaminaOn
from support.images import LayerTar, TestImage
from support.programs import DOCKER

pytestmark = [pytest.mark.root, pytest.mark.dockerd, pytest.mark.needs("crun", "ip", "nft", "nsenter", "busybox")]

_SCRIPT = Path(__file__).with_name("everyday.sh")
_OWN = (
    (re.compile(r"\b[0-9a-f]{64}\b"), "<id>"),
    (re.compile(r"\b[0-9a-f]{12}\b"), "<short id>"),
    (re.compile(r"\b\d+(\.\d+)? ?[kMG]?B\b"), "<size>"),
    (re.compile(r"^ *\d+ +(sleep)$", re.MULTILINE), r"<pid> \1"),
    (re.compile(r"^(PID) +", re.MULTILINE), r"\1 "),
    (re.compile(r"lookup registry-1\.docker\.io.*|dial tcp.*", re.MULTILINE), "<no network>"),
)


_APPLETS = ("httpd", "test", "wget")


@pytest.fixture
def archive(tmp_path: Path) -> str:
    """``busybox:latest`` with a web server and its client."""
    layer = LayerTar()
    for name in _APPLETS:
        layer.symlink(f"bin/{name}", "busybox")
    config = {"Cmd": ["sh"], "Env": ["PATH=/bin"]}
    image = TestImage([images.busybox_layer().bytes(), layer.bytes()], config=config)
    return image.docker_archive(str(tmp_path / "busybox.tar"), "busybox:latest")


def _script(host: Host, place: Path, docker: list[str], **environment: str) -> str:
    """What the script says when ``docker`` is that command."""
    programs = place / "bin"
    programs.mkdir()
    program = programs / "docker"
    program.write_text("#!/bin/sh\nexec " + " ".join(docker) + ' "$@"\n')
    program.chmod(0o755)
    work = Path("/tmp/everyday")  # the same for both: it stands in what they say
    work.mkdir()
    try:
        done = subprocess.run(
            host.enter("sh", str(_SCRIPT), str(work)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment, "PATH": f"{programs}:{os.environ['PATH']}"},
            timeout=300,
            check=True,
        )
    finally:
        subprocess.run(["rm", "-rf", str(work)], check=True)
    said = done.stdout.decode().replace("\r\n", "\n")
    for pattern, word in _OWN:
        said = pattern.sub(word, said)
    return said


def test_sixty_everyday_commands_say_the_same(archive: str, tmp_path: Path) -> None:
    for name in ("docker", "lamina"):
        (tmp_path / name).mkdir()
    with closing(Host()) as host:
        daemon = Dockerd(str(tmp_path / "docker/root"), on=host).start()
        try:
            daemon.docker("load", "-i", archive)
            theirs = _script(host, tmp_path / "docker", [DOCKER], DOCKER_HOST=daemon.host)
        finally:
            daemon.close()
    with closing(Host()) as host:
        box = LaminaOn(host, str(tmp_path / "lamina/root"), str(tmp_path / "lamina/config"))
        box("load", "-q", "-i", archive)
        program = [lamina_program(), "--root", box.root]
        try:
            ours = _script(host, tmp_path / "lamina", program, DOCKER_CONFIG=box.docker_config)
        finally:
            box.remove_containers()
    assert theirs.count("$ docker ") >= 60
    lines = theirs.splitlines(), ours.replace("lamina", "docker").splitlines()
    assert list(difflib.unified_diff(*lines, "docker", "lamina", lineterm="")) == []

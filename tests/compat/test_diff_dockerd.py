"""``diff``: the same changes in the same image, listed by dockerd and by lamina."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.command import Lamina
from support.dockerd import Dockerd
from support.images import LayerTar, TestImage, busybox_layer

pytestmark = [pytest.mark.root, pytest.mark.dockerd]

NAME = "diff-dockerd"

CHANGES = """
mkdir /a/b/c/new; echo two > /a/b/c/new/file; echo two >> /x/y/f; rm /x/y/g; chmod 600 /z/chmod; touch /tmp/q
rm -r /root; mkdir /root; touch /root/r; rm -r /remade; mkdir /remade; echo 1 > /remade/kept
chmod 700 /z; rm -r /to-file; echo 1 > /to-file; rm /to-directory; mkdir -p /to-directory/in; rm /hidden/again
mv /moved /away; ln -s f /x/y/link; echo lower > /hidden/back; rm -r /whole; rm /never 2> /dev/null; true
"""


@pytest.fixture
def archive(tmp_path: Path) -> str:
    lower = LayerTar()
    for path in (
        "a",
        "a/b",
        "a/b/c",
        "x",
        "x/y",
        "z",
        "root",
        "remade",
        "to-file",
        "hidden",
        "whole",
        "whole/d",
        "tmp",
    ):
        lower.directory(path)
    for path in ("a/b/c/f", "x/y/f", "x/y/g", "z/keep", "z/chmod", "root/old", "remade/kept", "remade/gone"):
        lower.file(path, "1")
    for path in ("to-file/in", "to-directory", "hidden/again", "hidden/back", "moved", "whole/d/f"):
        lower.file(path, "1")
    upper = LayerTar().directory("hidden").whiteout("hidden/back").directory("whole").file("whole/upper", "1")
    image = TestImage(
        [busybox_layer().bytes(), lower.bytes(), upper.bytes()], config={"Cmd": ["sh"], "Env": ["PATH=/bin"]}
    )
    return image.docker_archive(str(tmp_path / "image.tar"), f"{NAME}:latest")


def test_the_same_changes_are_listed(archive: str, dockerd: Dockerd, lamina: Lamina) -> None:
    arguments = ("run", "--name", NAME, "--network", "none", NAME, "sh", "-c", CHANGES)
    dockerd.docker("load", "-i", archive)
    try:
        dockerd.docker(*arguments)
        expected = dockerd.docker("diff", NAME).splitlines()
    finally:
        dockerd.docker("rm", "-f", NAME)
        dockerd.docker("rmi", NAME)
    lamina("load", "-i", archive)
    lamina(*arguments)
    assert sorted(lamina("diff", NAME).splitlines()) == sorted(expected)
    assert "C /x/y/f" in expected
    assert "D /remade/gone" in expected

"""The test equipment itself: real services start, answer and leave nothing."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from support.command import lamina_program
from support.dockerd import Dockerd
from support.images import TestImage
from support.leaks import LeakCheck
from support.mounts import mounts_below
from support.registry import Registry


@pytest.mark.dockerd
def test_dockerd_loads_and_runs_a_test_image(dockerd: Dockerd, layered_archive: str, layered_image: TestImage) -> None:
    dockerd.docker("load", "--input", layered_archive)
    assert dockerd.docker("image", "inspect", "--format", "{{.Id}}", "layered").strip() == layered_image.image_id
    show = "cat /data/changed /data/linked; ls /dir; test ! -e /data/removed"
    assert dockerd.docker("run", "--rm", "--network", "none", "layered", "sh", "-c", show) == "newkeptnew\n"
    dockerd.docker("rmi", "layered")


@pytest.mark.dockerd
def test_a_daemon_starts_again_on_its_root(
    dockerd_on: Callable[..., Dockerd], busybox_archive: str, tmp_path: Path
) -> None:
    daemon = dockerd_on(tmp_path / "root")
    daemon.docker("load", "--input", busybox_archive)
    daemon.stop()
    assert mounts_below(str(tmp_path)) == []
    assert "busybox" in daemon.start().docker("images")


@pytest.mark.registry
def test_registry_serves_an_uploaded_image_to_its_users(
    registry: Callable[..., Registry], layered_image: TestImage
) -> None:
    server = registry(users={"me": "secret"}, tls=True)
    server.upload(layered_image, "some/image", "1")
    headers, body = server.http(
        "GET", "/v2/some/image/manifests/1", headers={"Accept": layered_image.manifest_media_type}
    )
    assert body == layered_image.manifest
    assert headers["docker-content-digest"] == layered_image.manifest_digest
    assert server.requests()[-1] == "GET /v2/some/image/manifests/1"


@pytest.mark.root
def test_small_file_system_gets_full(small_file_system: Callable[..., str]) -> None:
    place = small_file_system(4)
    with pytest.raises(OSError, match="No space left"):
        Path(place, "big").write_bytes(bytes(8 << 20))


def test_leak_check_finds_and_ends_a_process(tmp_path: Path) -> None:
    check = LeakCheck(str(tmp_path))
    pid = os.posix_spawn("/bin/sleep", ["sleep", "60"], os.environ)
    while not Path(
        f"/proc/{pid}/cmdline"
    ).read_bytes():  # posix_spawn returns a little before the new program's arguments are there
        time.sleep(0.001)
    left = check.leftovers(seconds=0.5)
    os.waitpid(pid, 0)
    assert left == [f"process {pid}: sleep 60 "]


def test_the_command_starts_whatever_its_callers_python_is_set_to(tmp_path: Path) -> None:
    """``make setup`` installs a script that starts an isolated interpreter."""
    for name in ("json", "site", "sitecustomize", "typing"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('the wrong module')\n")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONSTARTUP": str(tmp_path / "json.py")}
    done = subprocess.run(
        [lamina_program(), "--root", str(tmp_path / "root"), "version", "-f", "{{.Client.Version}}"],
        capture_output=True,
        text=True,
        env=environment,
        cwd=tmp_path,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")

"""``build --ssh`` with keys: an agent of the build's own, which nothing outlives."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from lamina.builder.keyfile import parse
from lamina.builder.progress import Steps
from lamina.builder.request import BuildRequest
from lamina.builder.session import Session
from lamina.errors import Cancelled
from support.building import LocalBuilder, build, left_over, refused
from support.command import Lamina
from support.processes import wait_until

pytestmark = [pytest.mark.root, pytest.mark.needs("crun"), pytest.mark.needs("ssh-agent"), pytest.mark.needs("ssh-add")]

_COMMAND = "echo begun; until [ -e /meeting/go ]; do sleep 0.05; done"
_DOCKERFILE = (
    "FROM busybox\n"
    f"RUN --network=none --mount=type=cache,target=/meeting --mount=type=ssh,id=work,mode=0666,required {_COMMAND}\n"
    "RUN --network=none --mount=type=ssh,id=work,required test -S $SSH_AUTH_SOCK\n"
)


@pytest.fixture
def keys(tmp_path: Path) -> list[Path]:
    """Two private keys, readable for everybody."""
    made = [tmp_path / "one", tmp_path / "two"]
    for path, kind in zip(made, ("ed25519", "ecdsa"), strict=True):
        subprocess.run(["ssh-keygen", "-q", "-N", "", "-t", kind, "-C", kind, "-f", path], check=True)
        path.chmod(0o644)
    return made


def _agents(root: str) -> list[int]:
    """Processes ``ssh-agent`` of builds on the root."""
    found = []
    for entry in os.listdir("/proc"):
        with suppress(OSError):
            name = Path(f"/proc/{entry}/comm").read_text() if entry.isdigit() else ""
            if name == "ssh-agent\n" and os.readlink(f"/proc/{entry}/cwd").startswith(root):
                found.append(int(entry))
    return found


def _ask(path: str, *words: str) -> subprocess.CompletedProcess[str]:
    """``ssh-add`` with the agent of the command that runs."""
    directory, name = os.path.split(path)  # an address is short
    environment = {**os.environ, "SSH_AUTH_SOCK": name}
    return subprocess.run(
        ["ssh-add", *words], cwd=directory, env=environment, capture_output=True, text=True, check=False
    )


class Building:
    """A build whose command waits."""

    def __init__(self, lamina: Lamina, context: Path, keys: list[Path]) -> None:
        (context / "Dockerfile").write_text(_DOCKERFILE)
        self.root = lamina.root
        self.process = lamina.start("build", "-t", "made", "--ssh", f"work={','.join(map(str, keys))}", str(context))
        assert self.process.stderr is not None
        next(line for line in self.process.stderr if line.rstrip().endswith(b" begun") and b"RUN" not in line)

    def sockets(self) -> tuple[str, str]:
        """The agent's own, and the command's."""
        found = [f"{path}/agent" for path in Path(self.root, "lamina/run").iterdir() if (path / "agent").exists()]
        found.sort(key=lambda path: os.stat(os.path.dirname(path)).st_mode)
        own, forwarded = found
        assert os.stat(os.path.dirname(own)).st_mode & 0o777 == 0o700
        return own, forwarded

    def go_on(self) -> None:
        (cache,) = Path(self.root, "lamina/build-cache/mounts").iterdir()
        (cache / "data/go").touch()
        self.process.communicate(timeout=60)


def test_a_command_signs_with_the_keys_and_can_do_nothing_else(built: Lamina, context: Path, keys: list[Path]) -> None:
    building = Building(built, context, keys)
    own, forwarded = building.sockets()
    listed = _ask(forwarded, "-l")
    assert [line.split()[2] for line in listed.stdout.splitlines()] == ["ed25519", "ecdsa"]
    for key in keys:
        assert _ask(forwarded, "-T", f"{key}.pub").returncode == 0, "a signature of the agent's is wrong"
    assert _ask(forwarded, "-D").returncode
    assert _ask(own, "-l").stdout == listed.stdout
    assert len(_agents(built.root)) == 1
    building.go_on()
    assert building.process.returncode == 0
    assert _agents(built.root) == []
    assert left_over(built) == []


@pytest.mark.crash
def test_a_build_that_is_killed_takes_its_agent_along(built: Lamina, context: Path, keys: list[Path]) -> None:
    building = Building(built, context, keys[:1])
    (agent,) = _agents(built.root)
    warden = int(Path(f"/proc/{agent}/stat").read_text().rpartition(")")[2].split()[1])
    assert warden != building.process.pid
    os.kill(building.process.pid, signal.SIGSTOP)  # or it would see the warden's end
    os.kill(warden, signal.SIGKILL)
    wait_until(lambda: _agents(built.root) == [], seconds=5, what="the agent's end")
    building.process.kill()
    building.process.communicate()
    container = next(Path(built.root, "lamina/run").glob("*/config.json"), None)
    if container is not None:  # nobody else is left to kill it
        subprocess.run(["crun", "delete", "--force", container.parent.name], check=False, capture_output=True)


def test_an_agent_that_nobody_needs_is_not_started(built: Lamina, context: Path, keys: list[Path]) -> None:
    lines = keys[0].read_bytes().splitlines(keepends=True)
    broken = context.parent / "broken"
    broken.write_bytes(b"".join(lines[:3] + lines[4:]))
    dockerfile = "FROM busybox\nRUN --network=none {}true\n"
    build(built, context, dockerfile.format(""), f"--ssh=default={broken}")
    said = refused(built, context, dockerfile.format("--mount=type=ssh "), f"--ssh=default={broken}")
    assert f"failed to add {broken} to agent: " in said
    assert _agents(built.root) == []
    assert left_over(built) == []


def test_sockets_and_keys_do_not_mix(
    built: Lamina, context: Path, keys: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # an address is short
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
    path = tmp_path / "socket"
    dockerfile = "FROM busybox\n"
    assert "only single socket allowed" in refused(built, context, dockerfile, f"--ssh=x={path},{path}")
    assert "invalid combination of keys and sockets" in refused(built, context, dockerfile, f"--ssh=x={keys[0]},{path}")


class Deaf:
    """A warden whose agents never answer."""

    def start_agent(self, program: str, directory: str) -> None:
        pass

    def close(self) -> None:
        pass


def test_a_build_that_is_cancelled_does_not_wait_for_an_agent(
    builder: LocalBuilder, keys: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = builder.storage
    request = BuildRequest(b"", agents={"work": (parse(str(keys[0]), keys[0].read_bytes()),)})
    with Session(storage.root, storage.layers, storage.images, request, Steps()) as session:
        monkeypatch.setattr(session, "_warden", Deaf())
        begun = time.monotonic()
        cancelling = threading.Timer(0.1, session.cancel)
        cancelling.start()
        with pytest.raises(Cancelled):
            session.agent("work")
        assert time.monotonic() - begun < 5
        cancelling.join()

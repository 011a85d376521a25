"""The network of a build's commands."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from support import programs
from support.building import build
from support.hosts import OTHER, LaminaOn

pytestmark = [pytest.mark.root]

_LOOK = "RUN ip -o -4 address; ip route; cat /etc/hosts /etc/resolv.conf"


def left_of(box: LaminaOn) -> list[str]:
    """What builds have: ends of interfaces, addresses, run directories."""
    home = Path(box.root, "lamina")
    held = [str(path) for path in home.glob("network/leases/*/*")] + os.listdir(home / "network/sandboxes")
    return held + os.listdir(home / "run") + [name for name in box.host.interfaces() if name.startswith("lv")]


def wait_until_nothing_is_left(box: LaminaOn) -> None:
    deadline = time.monotonic() + 30
    while left := left_of(box):
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


def test_a_command_is_on_the_default_bridge(box: LaminaOn, tmp_path: Path) -> None:
    said = build(box, tmp_path, f"FROM busybox\n{_LOOK}\nRUN ip -o link && ping -c 1 -W 10 {OTHER}", "--no-cache")
    assert "inet 172.17.0.2/16" in said
    assert "default via 172.17.0.1 dev eth0" in said
    assert "172.17.0.2\t" in said
    assert "nameserver 127." not in said
    assert "1 packets received" in said
    wait_until_nothing_is_left(box)


def test_commands_of_one_build_share_an_address_and_builds_have_their_own(box: LaminaOn, tmp_path: Path) -> None:
    box("run", "-d", "--name", "one", "busybox", "sleep", "1000")
    said = build(box, tmp_path, f"FROM busybox\n{_LOOK}\nRUN echo second; ip -o -4 address", "--no-cache")
    assert said.count("inet 172.17.0.3/16") == 2
    assert "inet 172.17.0.4" not in said


@pytest.mark.parametrize("place", ["option", "instruction"])
@pytest.mark.parametrize(("network", "sees"), [("host", True), ("none", False)])
def test_a_command_is_where_it_is_to_be(box: LaminaOn, tmp_path: Path, network: str, sees: bool, place: str) -> None:
    flag, option = (f"--network={network} ", ()) if place == "instruction" else ("", ("--network", network))
    said = build(box, tmp_path, f"FROM busybox\nRUN {flag}ip -o link", "--no-cache", *option)
    assert ("wire0" in said) == sees
    assert "eth0" not in said
    assert not [name for name in box.host.interfaces() if name.startswith("lm-")]


def test_host_gateway_is_the_bridges_address(box: LaminaOn, tmp_path: Path) -> None:
    said = build(box, tmp_path, f"FROM busybox\n{_LOOK}", "--no-cache", "--add-host", "me:host-gateway")
    assert "172.17.0.1\tme" in said


def test_a_change_of_network_builds_nothing_again(box: LaminaOn, tmp_path: Path) -> None:
    build(box, tmp_path, "FROM busybox\nRUN echo once", "--network", "host")
    assert "CACHED" in build(box, tmp_path, "FROM busybox\nRUN echo once")


def _begin(box: LaminaOn, context: Path) -> subprocess.Popen[bytes]:
    """A build that waits in a command."""
    (context / "Dockerfile").write_text("FROM busybox\nRUN sleep 1000")
    build = subprocess.Popen(
        box.command("build", "--no-cache", str(context)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 30
    while not any(path.name == "config.json" for path in Path(box.root, "lamina/run").glob("*/*")):
        assert time.monotonic() < deadline
        assert build.poll() is None
        time.sleep(0.05)
    return build


def test_a_killed_build_leaves_nothing_of_its_network(box: LaminaOn, tmp_path: Path) -> None:
    build = _begin(box, tmp_path)
    build.kill()
    build.wait()
    wait_until_nothing_is_left(box)


def test_the_next_build_takes_back_what_a_killed_warden_had(box: LaminaOn, tmp_path: Path) -> None:
    running = _begin(box, tmp_path)
    threads = Path(f"/proc/{running.pid}/task").glob("*/children")
    children = [pid for thread in threads for pid in thread.read_text().split()]
    warden = [pid for pid in children if Path(f"/proc/{pid}/comm").read_text() == "lamina-warden\n"]
    for pid in (*map(int, warden), running.pid):
        os.kill(pid, signal.SIGKILL)
    running.wait()
    assert len(warden) == 1
    said = build(box, tmp_path, f"FROM busybox\n{_LOOK}", "--no-cache")
    assert "inet 172.17.0.2/16" in said
    wait_until_nothing_is_left(box)


class _Unprivileged(LaminaOn):
    """Without the right to make interfaces."""

    def command(self, *arguments: str) -> list[str]:
        words = super().command(*arguments)
        at = words.index("--") + 1
        return [*words[:at], "setpriv", "--bounding-set=-net_admin", *words[at:]]


def test_without_the_right_a_command_has_the_hosts_network_and_the_build_says_so(box: LaminaOn, tmp_path: Path) -> None:
    programs.need("setpriv")
    weak = _Unprivileged(box.host, box.root, str(tmp_path / "docker-config"))
    said = build(weak, tmp_path, "FROM busybox\nRUN ip -o link\nRUN echo more", "--no-cache")
    assert "wire0" in said
    assert said.count("RUN has the host's network: containers' networks need root with CAP_NET_ADMIN") == 1

"""Rules of others on the same host: they are not touched, and they do not keep containers from the network."""

from __future__ import annotations

import subprocess
import time

import pytest

from support.hosts import HOST, LaminaOn

pytestmark = [pytest.mark.root, pytest.mark.needs("iptables")]

WEB = ("busybox", "sh", "-c", "echo hello >/tmp/index.html; httpd -f -p 80 -h /tmp")


def iptables(box: LaminaOn, *arguments: str) -> str:
    return box.host.run("iptables", *arguments).stdout


@pytest.fixture
def dropping(box: LaminaOn) -> LaminaOn:
    """A host that forwards nothing but what it knows, as dockerd leaves it."""
    done = subprocess.run(box.host.enter("iptables", "--version"), capture_output=True, text=True, check=True)
    if "nf_tables" not in done.stdout:
        pytest.skip("needs iptables on nftables")
    iptables(box, "-P", "FORWARD", "DROP")
    iptables(box, "-A", "FORWARD", "-i", "docker0", "-j", "ACCEPT")
    iptables(box, "-t", "nat", "-A", "POSTROUTING", "-s", "172.30.0.0/16", "-j", "MASQUERADE")
    return box


def test_containers_pass_where_others_drop(dropping: LaminaOn) -> None:
    box = dropping
    box("run", "-d", "--name", "web", "-p", "8000:80", *WEB)
    address = box("container", "inspect", "-f", "{{.NetworkSettings.IPAddress}}", "web").strip()
    deadline = time.monotonic() + 20
    while box.host.get(HOST, 8000, other=True) != "hello\n":
        assert time.monotonic() < deadline
    assert box("run", "--rm", "busybox", "wget", "-qO-", f"http://{address}/") == "hello\n"
    box("run", "--rm", "busybox", "ping", "-c", "1", "-W", "5", "10.213.7.2")
    assert box.host.get(address, 80, other=True) == ""


def test_rules_of_others_stay_and_ours_go(dropping: LaminaOn) -> None:
    box = dropping
    before = iptables(box, "-S"), iptables(box, "-t", "nat", "-S")
    made = box("network", "create", "mine").strip()
    box("run", "--rm", "--network", "mine", "-p", "8000:80", "busybox", "true")
    during = iptables(box, "-S")
    assert f"-A FORWARD -i lm-{made[:12]} -j ACCEPT" in during
    assert "-A FORWARD -i docker0 -j ACCEPT" in during
    box("network", "rm", "mine")
    after = iptables(box, "-S"), iptables(box, "-t", "nat", "-S")
    assert after == before


def test_a_policy_that_comes_later_is_seen_at_the_next_start(box: LaminaOn) -> None:
    box("run", "-d", "--name", "web", *WEB)
    iptables(box, "-P", "FORWARD", "DROP")
    box("run", "--rm", "busybox", "ping", "-c", "1", "-W", "5", "10.213.7.2")

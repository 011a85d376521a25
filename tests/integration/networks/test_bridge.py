"""The network that every container is on, and the ways to have none of one's own."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from support.command import configured_program
from support.hosts import HOST, LaminaOn

pytestmark = [pytest.mark.root]


def document(box: LaminaOn, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(box("container", "inspect", name))[0]
    return found


def settings(box: LaminaOn, name: str) -> dict[str, Any]:
    found: dict[str, Any] = document(box, name)["NetworkSettings"]
    return found


def wait_for(condition: Any, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def test_a_container_is_on_dockers_first_free_range(box: LaminaOn) -> None:
    said = box("run", "--rm", "busybox", "sh", "-c", "ip -o -4 address show eth0; ip route; cat /etc/hosts; hostname")
    assert "inet 172.17.0.2/16 brd 172.17.255.255" in said
    assert "default via 172.17.0.1 dev eth0" in said
    lines = said.splitlines()
    assert f"172.17.0.2\t{lines[-1]}" in lines


def test_inspect_tells_where_it_is(box: LaminaOn) -> None:
    box("run", "-d", "--name", "one", "busybox", "sleep", "1000")
    found = settings(box, "one")
    assert (found["IPAddress"], found["Gateway"], found["IPPrefixLen"]) == ("172.17.0.2", "172.17.0.1", 16)
    assert found["MacAddress"] == "02:42:ac:11:00:02"
    assert len(found["SandboxID"]) == len(found["EndpointID"]) == 64
    network = json.loads(box("network", "inspect", "bridge"))[0]
    assert found["Networks"]["bridge"]["NetworkID"] == network["Id"]
    held = network["Containers"][document(box, "one")["Id"]]
    assert (held["Name"], held["IPv4Address"]) == ("one", "172.17.0.2/16")
    assert "eth0" in box.host.run("nsenter", f"--net={found['SandboxKey']}", "ip", "-o", "link").stdout
    assert document(box, "one")["HostConfig"]["NetworkMode"] == "default"


@pytest.mark.parametrize("network", ["none", "host"])
def test_inspect_says_where_the_namespace_is_that_the_engine_did_not_make(box: LaminaOn, network: str) -> None:
    box("run", "-d", "--name", "up", "--network", network, "busybox", "sleep", "60")
    key, pid = box("inspect", "-f", "{{.NetworkSettings.SandboxKey}} {{.State.Pid}}", "up").split()
    assert os.readlink(key) == f"/proc/{pid}/ns/net"
    shown = box.host.run("nsenter", f"--net={key}", "ip", "-o", "link").stdout
    assert ("wire0" in shown) == (network == "host")


def lasting_interfaces(box: LaminaOn) -> set[str]:
    """Without those of containers, which the kernel takes away some moments after their end."""
    return {name for name in box.host.interfaces() if not name.startswith("lv")}


def test_nothing_is_left_of_a_container_that_ended(box: LaminaOn) -> None:
    box("run", "--rm", "busybox", "true")
    rules, interfaces = box.host.rules(), lasting_interfaces(box)
    box("run", "-d", "--name", "one", "-p", "8000:80", "busybox", "sleep", "1000")
    assert box.host.rules() != rules
    box("rm", "-f", "one")
    assert box.host.rules() == rules
    wait_for(lambda: box.host.interfaces() == interfaces)
    assert box("network", "inspect", "-f", "{{len .Containers}}", "bridge") == "0\n"
    home = f"{box.root}/lamina/network"
    assert os.listdir(f"{home}/sandboxes") == []
    assert all(os.listdir(f"{home}/leases/{name}") == [] for name in os.listdir(f"{home}/leases"))


def test_nothing_is_left_of_a_container_whose_monitor_was_killed(box: LaminaOn) -> None:
    box("run", "--rm", "busybox", "true")
    rules, interfaces = box.host.rules(), lasting_interfaces(box)
    box("run", "-d", "--name", "one", "-p", "8000:80", "busybox", "sleep", "1000")
    first = document(box, "one")["State"]["Pid"]
    with open(f"/proc/{first}/stat") as file:
        monitor = int(file.read().rpartition(")")[2].split()[1])
    with open(f"/proc/{monitor}/comm") as file:
        assert file.read() == "lamina-monitor\n"
    os.kill(monitor, signal.SIGKILL)
    wait_for(lambda: settings(box, "one")["IPAddress"] == "")
    assert box.host.rules() == rules
    wait_for(lambda: box.host.interfaces() == interfaces)
    box("run", "--rm", "-p", "8000:80", "busybox", "true")


def test_after_a_stop_the_address_is_free_again(box: LaminaOn) -> None:
    box("run", "-d", "--name", "one", "busybox", "sleep", "1000")
    box("stop", "-t", "0", "one")
    found = settings(box, "one")
    assert (found["IPAddress"], found["EndpointID"], found["Ports"]) == ("", "", {})
    assert "inet 172.17.0.2/" in box("run", "--rm", "busybox", "ip", "-o", "-4", "address")
    box("start", "one")
    assert settings(box, "one")["IPAddress"] == "172.17.0.2"


def test_many_that_start_at_once_have_an_address_each(box: LaminaOn) -> None:
    starting = [box.start("run", "-d", "--name", f"c{number}", "busybox", "sleep", "1000") for number in range(8)]
    for process in starting:
        assert process.wait(120) == 0, process.stderr
        for stream in (process.stdout, process.stderr):
            assert stream is not None
            stream.close()
    addresses = {settings(box, f"c{number}")["IPAddress"] for number in range(8)}
    assert addresses == {f"172.17.0.{last}" for last in range(2, 10)}


def test_containers_reach_each_other_and_the_outside(box: LaminaOn) -> None:
    box("run", "-d", "--name", "web", "busybox", "sh", "-c", "echo hello >/tmp/index.html; httpd -f -p 80 -h /tmp")
    address = settings(box, "web")["IPAddress"]
    wait_for(lambda: box.host.get(address, 80) == "hello\n")
    assert box("run", "--rm", "busybox", "wget", "-qO-", f"http://{address}/") == "hello\n"
    box("run", "--rm", "busybox", "ping", "-c", "1", "-W", "5", "10.213.7.2")
    # An address that was not published is nobody's business outside.
    box.host.run("ip", "route", "add", "172.17.0.0/16", "via", HOST, other=True)
    assert box.host.get(address, 80, other=True) == ""


def test_a_shared_network_is_the_other_containers(box: LaminaOn) -> None:
    box("run", "-d", "--name", "one", "busybox", "sleep", "1000")
    said = box(
        "run", "--rm", "--network", "container:one", "busybox", "sh", "-c", "ip -o -4 address; cat /etc/hosts; hostname"
    )
    short = document(box, "one")["Id"][:12]
    assert "172.17.0.2/16" in said
    assert f"172.17.0.2\t{short}\n" in said
    assert said.endswith(f"{short}\n")
    refused = box.run("run", "--rm", "--network", "container:one", "-p", "80:80", "busybox", "true")
    assert refused.returncode == 125
    assert "conflicting options: port publishing and the container type network mode." in refused.stderr


def test_none_has_a_loopback_and_host_everything(box: LaminaOn) -> None:
    assert "eth0" not in box("run", "--rm", "--network", "none", "busybox", "ip", "-o", "link")
    assert "wire0" in box("run", "--rm", "--network", "host", "busybox", "ip", "-o", "link")


def test_hosts_and_resolvers_are_what_was_asked_for(box: LaminaOn) -> None:
    options = ("--hostname", "hh", "--domainname", "dd.example", "--add-host", "foo:1.2.3.4")
    options += ("--add-host", "bar:host-gateway", "--dns", "1.1.1.1", "--dns-search", "a.b", "--dns-option", "ndots:3")
    said = box("run", "--rm", *options, "busybox", "cat", "/etc/hosts", "/etc/resolv.conf")
    hosts, _, resolvers = said.partition("search ")
    assert hosts.endswith("1.2.3.4\tfoo\n172.17.0.1\tbar\n172.17.0.2\thh.dd.example hh\n")
    assert resolvers == "a.b\nnameserver 1.1.1.1\noptions ndots:3\n"


def test_a_link_is_a_line_in_hosts(box: LaminaOn) -> None:
    box("run", "-d", "--name", "one", "busybox", "sleep", "1000")
    said = box("run", "--rm", "--link", "one:web", "busybox", "cat", "/etc/hosts")
    assert f"172.17.0.2\tweb {document(box, 'one')['Id'][:12]} one\n" in said
    assert (
        "could not get container for nope: No such container: nope"
        in box.run("run", "--link", "nope", "busybox").stderr
    )


def test_the_next_range_is_used_where_the_first_is_taken(box: LaminaOn) -> None:
    box.host.run("ip", "address", "add", "172.17.5.1/24", "dev", "wire0")
    said = box("run", "--rm", "busybox", "ip", "route")
    assert "172.17.0.0/16" not in said
    assert "172.18.0.0/16" in said


def test_a_flushed_packet_filter_is_made_again(box: LaminaOn) -> None:
    box("run", "-d", "-p", "8000:80", "busybox", "sleep", "1000")
    rules = box.host.rules()
    box.host.run("nft", "flush", "ruleset")
    box("run", "--rm", "busybox", "true")
    assert box.host.rules() == rules


def test_prune_takes_the_idle_bridge_and_its_table_and_a_start_makes_them_again(box: LaminaOn) -> None:
    bridge = json.loads(box("network", "inspect", "bridge"))[0]["Options"]["com.docker.network.bridge.name"]
    box("run", "-d", "--name", "one", "busybox", "sleep", "1000")
    box("network", "prune", "-f")
    assert bridge in box.host.interfaces()
    box("rm", "-f", "one")
    box("network", "prune", "-f")
    assert bridge not in box.host.interfaces()
    assert "lamina" not in box.host.rules()
    assert "inet 172.17.0.2/16" in box("run", "--rm", "busybox", "ip", "-o", "-4", "address")


def test_the_default_network_is_as_the_configuration_says(box: LaminaOn, tmp_path: Path) -> None:
    file = tmp_path / "daemon.json"
    wanted = {"bip": "192.168.77.1/25", "fixed-cidr": "192.168.77.64/26", "mtu": 1400, "ip": "127.0.0.1"}
    file.write_text(json.dumps(wanted))

    def run(*words: str) -> str:
        return box.host.run(*configured_program(str(file)), "--root", box.root, *words).stdout

    run("run", "-d", "--name", "up", "-p", "8000:80", "busybox", "sleep", "60")
    found = settings(box, "up")
    assert (found["IPAddress"], found["IPPrefixLen"], found["Gateway"]) == ("192.168.77.64", 25, "192.168.77.1")
    assert found["Ports"] == {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8000"}]}
    assert "mtu 1400" in box("exec", "up", "ip", "link", "show", "eth0")
    options = json.loads(run("network", "inspect", "-f", "{{json .Options}}", "bridge"))
    assert options["com.docker.network.driver.mtu"] == "1400"

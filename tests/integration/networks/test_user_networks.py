"""Networks that somebody made: names, ranges, what leads where, and joining them while running."""

from __future__ import annotations

import json
import socket
import time
from contextlib import ExitStack
from typing import Any

import pytest

from support.hosts import LaminaOn

pytestmark = [pytest.mark.root]

WEB = ("busybox", "sh", "-c", "echo hello >/tmp/index.html; httpd -f -p 80 -h /tmp")


def wait_for(condition: Any, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def endpoint(box: LaminaOn, name: str, network: str) -> dict[str, Any]:
    said = box("container", "inspect", "-f", "{{json .NetworkSettings.Networks}}", name)
    found: dict[str, Any] = json.loads(said)[network]
    return found


def network(box: LaminaOn, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(box("network", "inspect", name))[0]
    return found


def test_a_network_is_made_listed_and_removed(box: LaminaOn) -> None:
    made = box("network", "create", "--label", "a=b", "-o", "com.docker.network.driver.mtu=1400", "mine").strip()
    assert box("network", "ls", "--filter", "type=custom", "--format", "{{.ID}} {{.Name}} {{.Driver}} {{.Labels}}") == (
        f"{made[:12]} mine bridge a=b\n"
    )
    assert box("network", "ls", "--format", "{{.Name}}").split() == ["bridge", "host", "mine", "none"]
    assert f"lm-{made[:12]}" in box.host.interfaces()
    again = box.run("network", "create", "mine")
    assert again.stderr == "Error response from daemon: network with name mine already exists\n"
    assert "mtu 1400" in box("run", "--rm", "--network", made[:6], "busybox", "ip", "link", "show", "eth0")
    rules = box.host.rules()
    assert box("network", "rm", "mine") == "mine\n"
    assert f"lm-{made[:12]}" not in box.host.interfaces()
    assert f"lm-{made[:12]}" in rules
    assert f"lm-{made[:12]}" not in box.host.rules()
    assert box.run("network", "rm", "mine").stderr == "Error: No such network: mine\n"
    assert box.run("network", "rm", "bridge").stderr == (
        "Error response from daemon: bridge is a pre-defined network and cannot be removed\n"
    )
    assert box.run("run", "--rm", "--network", "mine", "busybox", "true").returncode == 125


def test_a_network_in_use_stays(box: LaminaOn) -> None:
    made = box("network", "create", "mine").strip()
    box("run", "-d", "--name", "one", "--network", "mine", "busybox", "sleep", "1000")
    done = box.run("network", "rm", "mine")
    assert done.stderr == (
        f"Error response from daemon: error while removing network: network mine id {made} has active endpoints\n"
    )
    assert box("network", "prune", "-f") == ""
    box("rm", "-f", "one")
    assert box("network", "prune", "-f") == "Deleted Networks:\nmine\n\n"


def test_ranges_are_honoured(box: LaminaOn) -> None:
    options = ("--subnet", "10.77.0.0/16", "--gateway", "10.77.0.9", "--ip-range", "10.77.5.0/24")
    box("network", "create", *options, "--aux-address", "a=10.77.5.1", "mine")
    assert network(box, "mine")["IPAM"]["Config"] == [
        {
            "Subnet": "10.77.0.0/16",
            "IPRange": "10.77.5.0/24",
            "Gateway": "10.77.0.9",
            "AuxiliaryAddresses": {"a": "10.77.5.1"},
        }
    ]
    box("run", "-d", "--name", "one", "--network", "mine", "busybox", "sleep", "1000")
    found = endpoint(box, "one", "mine")
    assert (found["IPAddress"], found["Gateway"]) == ("10.77.5.0", "10.77.0.9")
    options = ("--ip", "10.77.5.77", "--mac-address", "02:42:01:02:03:04")
    box("run", "-d", "--name", "two", "--network", "mine", *options, "busybox", "sleep", "1000")
    found = endpoint(box, "two", "mine")
    assert (found["IPAddress"], found["MacAddress"]) == ("10.77.5.77", "02:42:01:02:03:04")
    taken = box.run("run", "--rm", "--network", "mine", "--ip", "10.77.5.77", "busybox", "true")
    assert "Address already in use" in taken.stderr
    overlap = box.run("network", "create", "--subnet", "10.77.9.0/24", "other")
    assert overlap.stderr == "Error response from daemon: Pool overlaps with other one on this address space\n"


@pytest.mark.needs("/usr/lib/podman/aardvark-dns")
def test_names_and_aliases_resolve(box: LaminaOn) -> None:
    box("network", "create", "mine")
    box("network", "create", "other")
    box("run", "-d", "--name", "web", "--network", "mine", "--network-alias", "www", *WEB)
    box("run", "-d", "--name", "far", "--network", "other", *WEB)
    short = endpoint(box, "web", "mine")["Aliases"][-1]

    def page(name: str, *networks: str) -> str:
        options = [word for one in networks for word in ("--network", one)]
        return box.run("run", "--rm", *options, "busybox", "wget", "-qO-", f"http://{name}/").stdout

    wait_for(lambda: page("web", "mine") == "hello\n")
    assert page("www", "mine") == page(short, "mine") == "hello\n"
    assert page("far", "mine") == page("web", "bridge") == ""
    wait_for(lambda: page("far", "mine", "other") == "hello\n")
    said = box("run", "--rm", "--network", "mine", "busybox", "cat", "/etc/resolv.conf")
    assert "nameserver 127.0.0.11\noptions ndots:0\n" in said
    box("rm", "-f", "web")
    wait_for(lambda: page("web", "mine") == "")


@pytest.mark.needs("/usr/lib/podman/aardvark-dns")
def test_names_resolve_for_every_one_of_many_short_containers(box: LaminaOn) -> None:
    """The server ends with the last container, and the next one comes at once."""
    box("network", "create", "mine")
    for _ in range(5):
        run = ("run", "--rm", "--network", "mine", "--network-alias", "me", "busybox", "nslookup", "me.")
        wait_for(lambda run=run: "Address: 172." in box.run(*run).stdout)


def test_names_resolve_beside_a_server_on_every_address(box: LaminaOn) -> None:
    with ExitStack() as stack:
        for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
            with box.host.inside():
                other = stack.enter_context(socket.socket(socket.AF_INET, kind))
            other.bind(("0.0.0.0", 53))
        box("network", "create", "mine")
        box("run", "-d", "--name", "one", "--network", "mine", "busybox", "sleep", "1000")
        said = box("run", "--rm", "--network", "mine", "busybox", "ping", "-c", "1", "-W", "10", "one")
        assert endpoint(box, "one", "mine")["IPAddress"] in said


def test_networks_are_apart(box: LaminaOn) -> None:
    box("network", "create", "mine")
    box("run", "-d", "--name", "web", "--network", "mine", *WEB)
    address = endpoint(box, "web", "mine")["IPAddress"]
    wait_for(lambda: box.host.get(address, 80) == "hello\n")
    done = box.run("run", "--rm", "busybox", "wget", "-T", "2", "-qO-", f"http://{address}/")
    assert done.returncode != 0
    assert done.stdout == ""


def test_an_internal_network_leads_nowhere(box: LaminaOn) -> None:
    box("network", "create", "--internal", "mine")
    box("run", "-d", "--name", "web", "--network", "mine", *WEB)
    address = endpoint(box, "web", "mine")["IPAddress"]
    run = ("run", "--rm", "--network", "mine", "busybox")
    wait_for(lambda: box.run(*run, "wget", "-qO-", f"http://{address}/").stdout == "hello\n")
    assert "default" not in box(*run, "ip", "route")
    assert box.run(*run, "ping", "-c", "1", "-W", "1", "10.213.7.2").returncode == 1


def test_containers_that_may_not_talk_do_not(box: LaminaOn) -> None:
    box("network", "create", "-o", "com.docker.network.bridge.enable_icc=false", "mine")
    box("run", "-d", "--name", "web", "--network", "mine", *WEB)
    address = endpoint(box, "web", "mine")["IPAddress"]
    wait_for(lambda: box.host.get(address, 80) == "hello\n")
    done = box.run("run", "--rm", "--network", "mine", "busybox", "wget", "-T", "2", "-qO-", f"http://{address}/")
    assert done.stdout == ""


def test_version_6_is_given_where_it_is_wanted(box: LaminaOn) -> None:
    box("network", "create", "--ipv6", "--subnet", "fd00:77::/64", "mine")
    box("run", "-d", "--name", "web", "--network", "mine", *WEB)
    found = endpoint(box, "web", "mine")
    assert (found["GlobalIPv6Address"], found["GlobalIPv6PrefixLen"]) == ("fd00:77::2", 64)
    wait_for(lambda: box.host.get("fd00:77::2", 80) == "hello\n")
    assert box("run", "--rm", "--network", "mine", "busybox", "wget", "-qO-", "http://[fd00:77::2]/") == "hello\n"
    assert "inet6" not in box("run", "--rm", "busybox", "ip", "-o", "address")


def test_a_running_container_is_connected_and_disconnected(box: LaminaOn) -> None:
    box("network", "create", "--subnet", "10.78.0.0/16", "mine")
    box("run", "-d", "--name", "one", "busybox", "sleep", "1000")
    box("network", "connect", "--ip", "10.78.0.99", "--alias", "uno", "mine", "one")
    assert "inet 10.78.0.99/16" in box("exec", "one", "ip", "-o", "address", "show", "eth1")
    assert endpoint(box, "one", "mine")["Aliases"][0] == "uno"
    assert box("ps", "--format", "{{.Networks}}") in ("bridge,mine\n", "mine,bridge\n")
    done = box.run("network", "connect", "mine", "one")
    assert done.stderr == "Error response from daemon: endpoint with name one already exists in network mine\n"
    box("network", "disconnect", "bridge", "one")
    said = box("exec", "one", "sh", "-c", "ip -o link; ip route")
    assert "eth0" not in said
    assert "default via 10.78.0.1 dev eth1" in said
    done = box.run("network", "disconnect", "bridge", "one")
    assert "is not connected to network bridge" in done.stderr
    box("network", "disconnect", "mine", "one")
    assert network(box, "mine")["Containers"] == {}


def test_a_stopped_container_is_connected_at_its_next_start(box: LaminaOn) -> None:
    box("network", "create", "mine")
    box("create", "--name", "one", "busybox", "sleep", "1000")
    box("network", "connect", "mine", "one")
    box("start", "one")
    assert "eth1" in box("exec", "one", "ip", "-o", "link")
    assert endpoint(box, "one", "mine")["IPAddress"] != ""


@pytest.mark.parametrize("driver", ["macvlan", "ipvlan"])
def test_a_container_is_on_the_hosts_own_wire(box: LaminaOn, driver: str) -> None:
    options = ("-d", driver, "--subnet", "10.213.7.0/24", "--gateway", "10.213.7.2", "-o", "parent=wire0")
    box("network", "create", *options, "wire")
    done = box.run("run", "-d", "--name", "web", "--network", "wire", "--ip", "10.213.7.50", *WEB)
    if f"the kernel has no {driver}" in done.stderr:
        pytest.skip(f"needs a kernel with {driver}")
    assert done.returncode == 0, done.stderr
    assert endpoint(box, "web", "wire")["IPAddress"] == "10.213.7.50"
    wait_for(lambda: box.host.get("10.213.7.50", 80, other=True) == "hello\n")
    assert "default via 10.213.7.2" in box("exec", "web", "ip", "route")
    box("rm", "-f", "web")
    box("network", "rm", "wire")
    done = box.run("network", "create", "-d", driver, "-o", "parent=nosuch", "missing")
    assert done.returncode == 0
    assert "does not exist" in box.run("run", "--rm", "--network", "missing", "busybox", "true").stderr

"""Published ports: from where they are reached, on which address, and what happens when they are taken."""

from __future__ import annotations

import json
import os
import socket
import struct
import threading
import time
from typing import Any

import fastcrc
import pytest

from lamina.linux import netns
from lamina.network.contract import Publication
from lamina.network.firewall import Firewall, open_filter
from support.hosts import HOST, LaminaOn

pytestmark = [pytest.mark.root]

WEB = ("busybox", "sh", "-c", "echo hello >/tmp/index.html; httpd -f -p 80 -h /tmp")


def wait_for(condition: Any, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def ports(box: LaminaOn, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(box("container", "inspect", "-f", "{{json .NetworkSettings.Ports}}", name))
    return found


def test_a_published_port_is_reached_from_everywhere(box: LaminaOn) -> None:
    box("run", "-d", "-p", "8000:80", *WEB)
    host = box.host
    wait_for(lambda: host.get("127.0.0.1", 8000) == "hello\n")
    assert host.get("::1", 8000) == "hello\n"
    assert host.get(HOST, 8000) == "hello\n"
    assert host.get(HOST, 8000, other=True) == "hello\n"
    for address in (HOST, "172.17.0.1"):  # another container's call, and its own gateway
        assert box("run", "--rm", "busybox", "wget", "-qO-", f"http://{address}:8000/") == "hello\n"
    box("network", "create", "elsewhere")
    assert box("run", "--rm", "--network", "elsewhere", "busybox", "wget", "-qO-", f"http://{HOST}:8000/") == "hello\n"


def test_a_container_reaches_its_own_published_port(box: LaminaOn) -> None:
    box("run", "-d", "--name", "web", "-p", "8000:80", *WEB)
    wait_for(lambda: box.host.get("127.0.0.1", 8000) == "hello\n")
    assert box("exec", "web", "wget", "-qO-", f"http://{HOST}:8000/") == "hello\n"


def test_a_port_is_published_on_the_address_asked_for_alone(box: LaminaOn) -> None:
    box("run", "-d", "-p", "127.0.0.1:8000:80", "-p", f"{HOST}:8001:80", *WEB)
    host = box.host
    wait_for(lambda: host.get("127.0.0.1", 8000) == "hello\n")
    assert host.get(HOST, 8000) == host.get(HOST, 8000, other=True) == host.get("::1", 8000) == ""
    assert host.get(HOST, 8001) == host.get(HOST, 8001, other=True) == "hello\n"
    assert host.get("127.0.0.1", 8001) == ""


def test_the_loopback_network_is_not_routed(box: LaminaOn) -> None:
    """CVE-2020-8558: a neighbour sends packets for 127.0.0.1 to the host's hardware address."""
    with box.host.inside():
        listening = socket.create_server(("127.0.0.1", 8002))
    with listening:
        box("run", "-d", "-p", "127.0.0.1:8000:80", *WEB)
        wait_for(lambda: box.host.get("127.0.0.1", 8000) == "hello\n")
        box.host.run("ip", "address", "del", "127.0.0.1/8", "dev", "lo", other=True)
        box.host.run("ip", "route", "add", "127.0.0.0/8", "via", HOST, "dev", "wire0", "onlink", other=True)
        for port in (8000, 8002):
            assert box.host.get("127.0.0.1", port, other=True) == ""
        for name in box.host.interfaces():
            said = box.host.run("cat", f"/proc/sys/net/ipv4/conf/{name}/route_localnet").stdout
            assert said == "0\n"


def test_datagrams_find_there_and_back(box: LaminaOn) -> None:
    box("run", "-d", "--name", "one", "-p", "8007:7/udp", "busybox", "sleep", "1000")
    sandbox = box("container", "inspect", "-f", "{{.NetworkSettings.SandboxKey}}", "one").strip()
    descriptor = os.open(sandbox, os.O_RDONLY)
    with netns.entered(descriptor):
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    os.close(descriptor)
    with server:
        server.bind(("0.0.0.0", 7))
        server.settimeout(20)

        def echo() -> None:
            for _ in range(3):
                data, peer = server.recvfrom(1000)
                server.sendto(data, peer)

        echoing = threading.Thread(target=echo)
        echoing.start()
        for address in ("127.0.0.1", "::1", HOST):
            assert box.host.ask(address, 8007, address.encode()) == address.encode()
        echoing.join()


def test_much_data_arrives_whole_through_the_proxy(box: LaminaOn) -> None:
    script = "head -c 8000000 /dev/zero >/tmp/index.html; httpd -f -p 80 -h /tmp"
    box("run", "-d", "-p", "8000:80", "busybox", "sh", "-c", script)
    wait_for(lambda: box.host.get("127.0.0.1", 8000) != "")
    wait_for(lambda: len(box.host.get("127.0.0.1", 8000)) == 8_000_000)
    assert len(box.host.get("::1", 8000)) == 8_000_000


def test_a_taken_port_is_told_before_the_start(box: LaminaOn) -> None:
    box("run", "-d", "--name", "web", "-p", "8000:80", *WEB)
    done = box.run("run", "--name", "late", "-p", "8000:80", "busybox", "true")
    assert done.returncode == 125
    assert "driver failed programming external connectivity on endpoint late (" in done.stderr
    assert "): Bind for 0.0.0.0:8000 failed: port is already allocated." in done.stderr
    assert box("ps", "-a", "--filter", "name=late", "--format", "{{.Status}}") == "Created\n"
    box("rm", "-f", "web")
    box("start", "late")

    with box.host.inside():
        somebody = socket.create_server(("0.0.0.0", 8001))
    with somebody:
        done = box.run("run", "--rm", "-p", "8001:80", "busybox", "true")
    assert "Error starting userland proxy: listen tcp4 0.0.0.0:8001: bind: address already in use." in done.stderr
    done = box.run("run", "--rm", "-p", "1.2.3.4:8001:80", "busybox", "true")
    assert "listen tcp4 1.2.3.4:8001: bind: cannot assign requested address." in done.stderr


def has_sctp() -> bool:
    try:
        socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_SCTP).close()
    except OSError:
        return False
    return True


def test_a_port_of_sctp_needs_a_kernel_with_it(box: LaminaOn) -> None:
    done = box.run("run", "--rm", "--name", "short", "-p", "8001:80/sctp", "busybox", "true")
    if has_sctp():
        assert done.returncode == 0
    else:
        assert done.returncode == 125
        assert "driver failed programming external connectivity on endpoint short (" in done.stderr
        assert "): Error starting userland proxy: protocol not supported." in done.stderr
    box("create", "--name", "made", "--expose", "99/sctp", "-p", "8001:80/sctp", "busybox", "true")
    assert json.loads(box("inspect", "-f", "{{json .HostConfig.PortBindings}}", "made")) == {
        "80/sctp": [{"HostIp": "", "HostPort": "8001"}]
    }


def test_the_packet_filter_redirects_sctp(box: LaminaOn) -> None:
    """An association's first packet, made by hand, since few kernels speak the protocol but all pass it on."""
    box("run", "-d", "--name", "up", "busybox", "sleep", "60")
    address = box("inspect", "-f", "{{.NetworkSettings.IPAddress}}", "up").strip()
    pid = int(box("inspect", "-f", "{{.State.Pid}}", "up"))
    publications = [Publication("sctp", 80, "0.0.0.0", 8001), Publication("sctp", 81, HOST, 8002)]
    with box.host.inside():
        listing = json.loads(box.host.run("nft", "-j", "list", "tables").stdout)["nftables"]
        (table,) = [each["table"]["name"] for each in listing if "table" in each]
        firewall = Firewall(table)
        with open_filter() as filter:
            firewall.publish(filter, address, publications)
    namespace = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        with netns.entered(namespace):
            inside = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_SCTP)
    finally:
        os.close(namespace)
    with inside:
        inside.settimeout(20)
        for outer, inner in ((8001, 80), (8002, 81)):
            with (
                box.host.inside(other=True),
                socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_SCTP) as raw,
            ):
                raw.sendto(init_packet(outer), (HOST, 0))
            packet = inside.recv(999)
            assert struct.unpack(">HH", packet[20:24]) == (4000, inner)
    with box.host.inside(), open_filter() as filter:
        firewall.unpublish(filter, address, publications)
    assert "sctp" not in box.host.run("nft", "list", "table", "inet", table).stdout


def init_packet(port: int) -> bytes:
    """The packet with which somebody at port 4000 asks for an association (RFC 9260, section 3.3.2)."""
    chunk = struct.pack(">BBHIIHHI", 1, 0, 20, 7, 65536, 1, 1, 1)
    before, after = struct.pack(">HHI", 4000, port, 0), chunk
    checksum = fastcrc.crc32.iscsi(before + bytes(4) + after)
    return before + checksum.to_bytes(4, "little") + after


def test_a_network_may_say_where_its_ports_are_published(box: LaminaOn) -> None:
    option = "com.docker.network.bridge.host_binding_ipv4"
    done = box.run("network", "create", "-o", f"{option}=bad", "guarded")
    assert f"failed to parse {option} value: bad (nil ip)" in done.stderr
    box("network", "create", "-o", f"{option}=127.0.0.1", "guarded")
    box("run", "-d", "--name", "one", "--network", "guarded", "-p", "8000:80", "-p", f"{HOST}:8001:80", *WEB)
    assert ports(box, "one")["80/tcp"] == [
        {"HostIp": "127.0.0.1", "HostPort": "8000"},
        {"HostIp": HOST, "HostPort": "8001"},
    ]
    wait_for(lambda: box.host.get("127.0.0.1", 8000) == "hello\n")
    assert box.host.get(HOST, 8000, other=True) == ""
    assert box.host.get(HOST, 8001, other=True) == "hello\n"


def test_ranges_and_random_ports(box: LaminaOn) -> None:
    box("run", "-d", "--name", "one", "-p", "7000-7002:7000-7002", "-p", "9000/udp", "--expose", "90", *WEB)
    found = ports(box, "one")
    assert found["7001/tcp"] == [{"HostIp": "0.0.0.0", "HostPort": "7001"}, {"HostIp": "::", "HostPort": "7001"}]
    assert found["90/tcp"] is None
    random = found["9000/udp"][0]["HostPort"]
    assert {place["HostPort"] for place in found["9000/udp"]} == {random}
    shown = f"90/tcp, 0.0.0.0:7000-7002->7000-7002/tcp, :::7000-7002->7000-7002/tcp, 0.0.0.0:{random}->9000/udp, "
    assert box("ps", "--format", "{{.Ports}}") == f"{shown}:::{random}->9000/udp\n"
    assert box("port", "one", "7000") == "0.0.0.0:7000\n:::7000\n"
    assert box("ps", "-q", "--filter", "publish=7002") != ""
    assert box("ps", "-q", "--filter", "publish=7003") == ""
    assert box("ps", "-q", "--filter", "expose=90") != ""
    done = box.run("port", "one", "99")
    assert (done.returncode, done.stderr) == (1, "Error: No public port '99/tcp' published for one\n")

    for name in ("first", "second"):
        box("run", "-d", "--name", name, "-p", "8100-8101:80", "busybox", "sleep", "1000")
    assert [ports(box, name)["80/tcp"][0]["HostPort"] for name in ("first", "second")] == ["8100", "8101"]
    box("run", "-d", "--name", "all", "-P", "--expose", "81-82", "busybox", "sleep", "1000")
    assert {key for key, places in ports(box, "all").items() if places} == {"81/tcp", "82/tcp"}

"""Docker's notation of ports, and how it shows them."""

from __future__ import annotations

import pytest

from lamina.cli.command import CommandError
from lamina.cli.container.portflags import exposed, published
from lamina.errors import InvalidArgument
from lamina.network.contract import Publication
from lamina.network.ports import PortRequest, overlaps, requests, shown
from lamina.view import ports as view


@pytest.mark.parametrize(
    ("text", "bindings"),
    [
        ("80", {"80/tcp": [{"HostIp": "", "HostPort": ""}]}),
        ("8080:80/udp", {"80/udp": [{"HostIp": "", "HostPort": "8080"}]}),
        ("127.0.0.1::80", {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": ""}]}),
        ("[::1]:8080:80", {"80/tcp": [{"HostIp": "::1", "HostPort": "8080"}]}),
        ("8000-8010:80", {"80/tcp": [{"HostIp": "", "HostPort": "8000-8010"}]}),
        ("80-81", {"80/tcp": [{"HostIp": "", "HostPort": ""}], "81/tcp": [{"HostIp": "", "HostPort": ""}]}),
        ("90-91:80-81", {"80/tcp": [{"HostIp": "", "HostPort": "90"}], "81/tcp": [{"HostIp": "", "HostPort": "91"}]}),
        ("target=80,published=8080,protocol=udp,mode=host", {"80/udp": [{"HostIp": "", "HostPort": "8080"}]}),
    ],
)
def test_a_published_port(text: str, bindings: dict[str, list[dict[str, str]]]) -> None:
    found = published([text])
    assert found.bindings == bindings
    assert set(found.exposed) == set(bindings)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("99999:80", "Invalid hostPort: 99999"),
        ("1.2.3:80:80", "Invalid ip address: 1.2.3"),
        ("80-81:80-85", "Invalid ranges specified for container and host Ports: 80-85 and 80-81"),
        ("x:80", "Invalid hostPort: x"),
        ("80:x", "Invalid containerPort: x"),
        ("80/xyz", "Invalid proto: xyz"),
        ("", "No port specified: <empty>"),
        ("81-80", "Invalid containerPort: 81-80"),
        ("٣", "Invalid containerPort: ٣"),
    ],
)
def test_a_port_that_can_not_be_published(text: str, words: str) -> None:
    with pytest.raises(CommandError) as error:
        published([text])
    assert error.value.text == words


def test_exposed_ports() -> None:
    assert exposed(["80", "90-91/udp"]) == {"80/tcp": {}, "90/udp": {}, "91/udp": {}}
    with pytest.raises(CommandError, match='parsing "x": invalid syntax'):
        exposed(["x"])
    with pytest.raises(CommandError, match="invalid port format for --expose: 80:80"):
        exposed(["80:80"])


def test_what_a_container_asks_for() -> None:
    bindings = {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8000-8002"}], "53/udp": None}
    config = {"ExposedPorts": {"90/tcp": {}, "80/tcp": {}}}
    assert requests(config, {"PortBindings": bindings}) == (
        PortRequest("udp", 53),
        PortRequest("tcp", 80, "127.0.0.1", 8000, 8002),
    )
    assert PortRequest("tcp", 90) in requests(config, {"PortBindings": bindings, "PublishAllPorts": True})
    assert requests({}, {"PortBindings": {"80/sctp": [{}]}}) == (PortRequest("sctp", 80),)
    for wrong in ({"x/tcp": [{}]}, {"80/x": [{}]}, {"80/tcp": [{"HostIp": "x"}]}, {"80/tcp": [{"HostPort": "9-8"}]}):
        with pytest.raises(InvalidArgument):
            requests({}, {"PortBindings": wrong})


def test_two_that_want_the_same_port() -> None:
    everywhere, here = Publication("tcp", 80, "0.0.0.0", 8080), Publication("tcp", 80, "127.0.0.1", 8080)
    assert overlaps(everywhere, here)
    assert overlaps(here, here)
    assert not overlaps(here, here._replace(host="127.0.0.2"))
    assert not overlaps(here, here._replace(protocol="udp"))
    assert not overlaps(everywhere, everywhere._replace(host="::"))


def test_published_ports_are_shown_as_docker_does() -> None:
    ports = shown(
        {"ExposedPorts": {"90/tcp": {}, "80/tcp": {}}},
        [
            *(Publication("tcp", port, host, port) for port in (7000, 7001) for host in ("0.0.0.0", "::")),
            Publication("tcp", 80, "127.0.0.1", 32768),
        ],
    )
    assert list(ports) == ["7000/tcp", "7001/tcp", "80/tcp", "90/tcp"]
    text = "90/tcp, 0.0.0.0:7000-7001->7000-7001/tcp, :::7000-7001->7000-7001/tcp, 127.0.0.1:32768->80/tcp"
    assert view.column(view.listed(ports)) == text
    assert view.lines(ports)[0] == "80/tcp -> 127.0.0.1:32768"

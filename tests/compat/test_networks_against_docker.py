"""The verbs and flags for networks next to a real dockerd's, each on a host of its own with a real bridge."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support import programs
from support.dockerd import Dockerd
from support.hosts import Host, LaminaOn
from support.pair import Answer, answer_of

pytestmark = [
    pytest.mark.root,
    pytest.mark.dockerd,
    pytest.mark.needs("crun", "ip", "nft", "nsenter"),
    pytest.mark.slow,
]

_ID = re.compile(r"\b[0-9a-f]{64}\b|\b[0-9a-f]{12}\b")
#: What Docker's command says besides when it hears of the failed start before the end of its own wait.
_GIVEN_UP = re.compile(r'^time="[^"]*" level=error msg="error waiting for container: [^"]*"\n', re.MULTILINE)
_GENERATED = re.compile(r"on endpoint \w+_\w+ \(")

#: Commands whose answers are the same, identifiers aside, in this order.
COMMANDS = """
network ls
network create n1
network create n1
network create bridge
network create --driver nope n2
network create --subnet 10.1.0.0/16 --gateway 10.1.0.9 --ip-range 10.1.5.0/24 --aux-address a=10.1.5.3 --label x=y n3
network create --subnet 10.1.2.0/24 n4
network create --subnet 10.1.2.0 n4
network create --gateway 10.9.9.1 n4
network create --subnet 10.2.0.0/16 --gateway 10.9.9.1 n4
network create --internal n5
network ls --filter driver=bridge --format {{.Name}}:{{.Driver}}:{{.Scope}}:{{.IPv6}}:{{.Internal}}:{{.Labels}}
network ls --filter name=n --format {{.Name}}
network ls --filter type=builtin --format {{.Name}}
network ls --filter foo=true
network ls --filter label=x -q
network inspect nope
network inspect -f {{.Name}}:{{json_.IPAM.Config}}:{{json_.Options}} n3
create --name c1 -p 8080:80 --expose 90 busybox sleep 1000
start c1
port c1
port c1 80/tcp
port c1 99
port nope
ps --format {{.Names}}:{{.Ports}}
ps --filter publish=8080 --format {{.Names}}
ps --filter expose=90 --format {{.Names}}
ps --filter network=bridge --format {{.Names}}:{{.Networks}}
create --name c3 --network n3 --network-alias al --ip 10.1.5.77 --mac-address 02:42:01:02:03:04 busybox sleep 1000
start c3
exec c3 cat /etc/hosts
exec c3 cat /etc/resolv.conf
network inspect -f {{json_.Containers}} n3
network rm n3
network rm nope n3
network rm bridge
network connect n1 c3
network connect n1 c3
network connect nope c3
network connect n1 nope
network connect --ip 172.18.0.99 n1 c1
network connect host c1
network disconnect n1 c3
network disconnect n1 c3
network disconnect nope c3
network disconnect host c1
run --rm --network container:c1 busybox cat /etc/hosts
run --rm --network container:c1 -p 80:80 busybox true
run --rm --network container:c1 --hostname x busybox true
run --rm -p 8080:80 busybox true
run --rm -p 99999:80 busybox true
run --rm -p 1.2.3.4:80:80 busybox true
run --rm -p 80-81:80-85 busybox true
run --rm -p 80:x busybox true
run --rm -p 80/xyz busybox true
run --rm --expose x busybox true
run --rm --network n3 --ip 10.1.5.77 busybox true
run --rm --network n1 --ip 1.2.3 busybox true
run --rm --mac-address zz busybox true
run --rm --link c1:web busybox cat /etc/hosts
run --rm --link nope:web busybox true
run --rm --add-host foo:1.2.3.4 --add-host bar:host-gateway --hostname hh --domainname dd busybox cat /etc/hosts
run --rm --add-host foo busybox true
run --rm --add-host foo:bar busybox true
run --rm --dns 1.1.1.1 --dns-search a.b --dns-option ndots:3 busybox cat /etc/resolv.conf
run --rm --network n1 --dns-search a.b busybox cat /etc/resolv.conf
run --rm --dns nope busybox true
run --rm --network bridge --ip 172.17.0.99 busybox true
run --rm --network none --ip6 fd00::9 busybox true
run --rm --network n1 --ip 1.2.3.4 busybox true
run --rm --network n3 --ip 1.2.3.4 busybox true
run --rm --network n3 --ip6 fd00::9 busybox true
run --rm --network bridge --network-alias x busybox true
run --rm --network none --link c1:web busybox true
create --network n1 --network n1 busybox true
create --network name=n1,alias=x --network-alias y busybox true
create --name c4 --network n3 --network-alias y --link-local-ip 169.254.1.2 --link-local-ip 169.254.1.3 busybox sleep 99
inspect -f {{json_.NetworkSettings.Networks}} c4
network connect --ip 172.17.0.99 bridge c4
network connect --alias x bridge c4
start c4
exec c4 busybox ip route
network connect --link-local-ip 169.254.2.2,169.254.2.3 n1 c4
inspect -f {{json_.NetworkSettings.Networks.n3.Aliases}}{{json_.NetworkSettings.Networks.n1.IPAMConfig}} c4
run --rm --network bridge --link-local-ip 169.254.1.2 busybox busybox ip route
run --rm --network n3 --link-local-ip 1.2.3.4 busybox true
run --rm --network n3 --link-local-ip bad --link-local-ip 169.254.1.2 busybox true
rm -f c4
stop -t 0 c3
inspect -f {{json_.NetworkSettings.Ports}} c3
network prune -f --filter label=x
"""

#: The same of settings that networks share, and of links. It begins with nothing but Docker's own networks.
MORE_COMMANDS = """
network create --config-only --subnet 10.77.0.0/24 --gateway 10.77.0.9 --label a=b --ipam-opt x=y -o b=2 -o a=1 s1
network create --config-only --subnet 10.77.0.0/24 s2
network create --config-from s1 -o a=b u1
network create --config-from s1 --ipv6 u1
network create --config-from s1 --label a=b u1
network create --config-from s1 --ipam-opt a=b u1
network create --config-from s1 --subnet 10.79.0.0/24 u1
network create --config-from nosuch u1
network create --config-from bridge u1
network create --config-from s1 --attachable --internal u1
network create --config-from s2 u2
network create --config-from u1 u2
network ls --filter driver=null --format {{.Name}}
network inspect -f {{json_.IPAM}}{{json_.Options}}{{json_.Labels}}{{.ConfigFrom.Network}}{{.ConfigOnly}} s1 u1
network create --config-only --config-from s1 u2
network create --config-only --internal u2
network create --config-only --scope local u2
network create --config-only --ingress u2
network create --ingress u2
network create --scope swarm u2
network create --config-from s1 -d host u2
network create --config-only -o com.docker.network.driver.mtu=x s3
network create --config-from s3 u2
network rm s1
run --name no --network s1 busybox true
ps -a --filter name=no --format {{.Names}}{{.Status}}
rm no
network prune -f
network ls --format {{.Name}}
network rm s1 s2 s3
run -d --name db busybox sleep 1000
run -d --name web --link db:database --link db:db2 busybox sleep 1000
ps --no-trunc --format {{.Names}}
ps --format {{.Names}}
inspect -f {{.Name}} web/database
rename db base
rm --link web
rm --link nosuch
rm --link nosuch/x
rm --link web/nosuch
rm -f --link web/nosuch
rm --link /web/database
ps --no-trunc --format {{.Names}}
inspect -f {{json_.HostConfig.Links}} web
exec web cat /etc/hosts
stop -t 0 base
rm --link web/db2 web/db2
inspect -f {{json_.HostConfig.Links}} web
restart -t 0 web
exec web cat /etc/hosts
rm /
rm -f /web/ base
version --kubeconfig /nosuch --format {{.Client.Context}}
"""


class Sides:
    """Both engines."""

    def __init__(self, daemon: Dockerd, lamina: LaminaOn) -> None:
        self.daemon = daemon
        self.lamina = lamina
        self._known: dict[str, dict[str, str]] = {"docker": {}, "lamina": {}}

    def ask(self, words: list[str]) -> tuple[Answer, Answer]:
        docker = answer_of(self.daemon.run(*words), "docker")
        return self._masked("docker", docker), self._masked("lamina", answer_of(self.lamina.run(*words), "lamina"))

    def documents(self, *words: str) -> tuple[Any, Any]:
        return json.loads(self.daemon.run(*words).stdout), json.loads(self.lamina(*words))

    def _masked(self, side: str, answer: Answer) -> Answer:
        known = self._known[side]

        def name(match: re.Match[str]) -> str:
            short = match[0][:12]
            return f"{known.setdefault(short, f'id{len(known)}')}-{len(match[0])}"

        out, err = (_GENERATED.sub("on endpoint somebody (", _ID.sub(name, text)) for text in (answer.out, answer.err))
        return Answer(answer.code, out, _GIVEN_UP.sub("", err))


@pytest.fixture
def sides(tmp_path: Path, busybox_archive: str) -> Iterator[Sides]:
    programs.need_root()
    hosts = Host(), Host()
    daemon = Dockerd(str(tmp_path / "docker"), on=hosts[0])
    lamina = LaminaOn(hosts[1], str(tmp_path / "root"), str(tmp_path / "docker-config"))
    try:
        daemon.start()
        daemon.run("load", "-q", "-i", busybox_archive)
        lamina("load", "-q", "-i", busybox_archive)
        yield Sides(daemon, lamina)
    finally:
        lamina.remove_containers()
        daemon.run("rm", "-f", *daemon.run("ps", "-aq").stdout.decode().split())
        daemon.close()
        for host in hosts:
            host.close()


def test_answers_are_dockers(sides: Sides) -> None:
    _compare(sides, COMMANDS)
    docker, lamina = sides.documents("network", "inspect", "n1", "bridge", "host", "none")
    for one, other in zip(docker, lamina, strict=True):
        assert list(one) == list(other)
        for key in set(one) - {"Id", "Created", "Containers", "Options", "IPAM"}:
            assert one[key] == other[key], key
        assert list(one["Options"]) == list(other["Options"])

    docker, lamina = sides.documents("container", "inspect", "c1")
    one, other = docker[0]["NetworkSettings"], lamina[0]["NetworkSettings"]
    own = {"SandboxID", "SandboxKey", "EndpointID", "Networks"}
    assert {key: value for key, value in one.items() if key not in own} == {
        key: value for key, value in other.items() if key not in own
    }
    one, other = one["Networks"]["bridge"], other["Networks"]["bridge"]
    assert {**one, "NetworkID": "", "EndpointID": ""} == {**other, "NetworkID": "", "EndpointID": ""}
    assert len(other["NetworkID"]) == len(other["EndpointID"]) == 64

    for command in ("rm -f c1 c3", "network prune -f"):
        sides.ask(command.split())
    _compare(sides, MORE_COMMANDS)
    for option in ("--scope=nosuch", "--driver=overlay"):
        for answer in sides.ask(["network", "create", option, "u2"]):
            assert answer.err.startswith("Error response from daemon: This node is not a swarm manager. ")


def _compare(sides: Sides, commands: str) -> None:
    different = []
    for line in commands.strip().splitlines():
        docker, lamina = sides.ask([word.replace("json_", "json ") for word in line.split()])
        if docker != lamina:
            different.append(f"{line}\n  docker: {docker}\n  lamina: {lamina}")
    assert not different, "\n".join(different)

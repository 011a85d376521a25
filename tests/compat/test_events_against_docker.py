"""What ``events`` tells of the same commands, next to a real dockerd's: every event, in order, with its attributes."""

from __future__ import annotations

import json
import os
import re
import shlex
import time
from collections.abc import Callable, Iterator
from difflib import unified_diff
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from support import programs
from support.command import Lamina
from support.dockerd import Dockerd
from support.hosts import Host, LaminaOn
from support.images import small_image
from support.pair import Answer, answer_of
from support.processes import Service
from support.programs import DOCKER
from support.registry import Registry

pytestmark = [pytest.mark.root, pytest.mark.dockerd, pytest.mark.needs("crun"), pytest.mark.slow]

_ID = re.compile(r"\b[0-9a-f]{64}\b")
#: What Docker does for each of a container's networks and volumes, or of several images, in the order of a Go map.
_BY_CHANCE = ("connect", "disconnect", "mount", "unmount", "save")
_TIME = re.compile(r"^\S+Z ", re.MULTILINE)

IMAGES = """
load -q -i {small}
load -q -i {other}
import {tar} imported:1
import {tar}
save -o {out} small other:1
tag other:1 {registry}/a/b:1
tag other:1 {registry}/a/b:latest
tag other:1 other:1
push -q {registry}/a/b:1
push -q -a {registry}/a/b
pull -q {registry}/a/b:1
pull -q -a {registry}/a/b
pull -q {registry}/a/nosuch
rmi {registry}/a/b:1
rmi {registry}/a/b:latest
pull -q {registry}/a/b:1
rmi small:1 small:2 nosuch
rmi imported:1
image prune -f
image prune -f
image prune -af
builder prune -f
volume create one
volume create one
volume create --label a=b two
volume rm two
volume rm nosuch
volume rm -f nosuch
volume prune -f
"""

LIFE = """
network create --label a=b inner
volume create data
run --name first -l color=red -v data:/data busybox true
start -a first
start first
run --rm --name short --network none -v /anonymous busybox false
run --name bad -v data:/data:ro busybox nosuchprogram
rm -v first
rm bad
run -d --name up --network inner -v data:/data:ro busybox sleep 1000
network connect bridge up
network disconnect inner up
network disconnect inner up
network rm bridge
exec up true
exec up sh -c 'exit  3'
exec up nosuchprogram
exec -u nobodyknows up true
pause up
unpause up
kill -s WINCH up
rename up higher
top higher
update --cpu-shares 100 higher
export -o {out} higher
restart -t 0 higher
commit -m hello higher
commit higher committed:1
stop -t 0 higher
network connect inner higher
start higher
kill higher
network disconnect inner higher
container prune -f
create --name other busybox true
volume rm data
volume prune -f
run -d --name host --network host busybox sleep 1000
cp host:/bin/busybox {copy}
cp {copy} host:/copied
run --name beside --network container:host busybox true
network prune -f
system prune -f --volumes
rm -f host
rmi committed:1
"""

#: Looking at what happened in other ways, on the roots of LIFE.
FILTERS = """
type=container
type=volume type=network
type=nosuch
event=start event=die
event=exec_create
event=exec
container=up
container=high event=rename
container=inn event=connect
network=inn
volume=dat
daemon=up event=kill
plugin=nosuch
image=busybox event=create
image=busybox:latest
image=busy
label=color
label=color=red event=die
label=color=red label=name=bad
label=container event=mount
scope=local type=image
scope=swarm
nosuch=x event=oom
"""

#: Ways to be shown them, and what is refused.
FORMATS = """
--filter event=create --format '{{.Type}} {{.Action}} {{.ID}} {{.Status}} {{.From}} {{.Scope}}'
--filter event=create --format '{{.Actor.Attributes.name}} {{.Actor.Attributes.nosuch}}'
--filter event=create --format '{{.Actor}}{{json_.Actor.Attributes}}{{len_.Actor.Attributes}}'
--filter type=volume --format '{{.}}'
--filter type=volume --format json
--filter type=volume --format '{{.Nosuch}}'
--filter type=volume --format '{{.Actor.Nosuch}}'
--filter type=volume --format '{{.Type'
--filter type
--since x
--until x
--since 5 --until 3
--since 2021-01-02 --until 2021-01-01
nosuch
"""


class Side:
    """One engine, and a follower of its events."""

    def __init__(self, program: str, run: Callable[..., Any], follow: list[str], log: Path) -> None:
        self._program = program
        self.run = run
        self.begin = f"{time.time():.9f}"
        self.follower = Service(follow, str(log), {**os.environ})

    def told(self, *flags: str) -> str:
        return self.asked(*flags).out

    def asked(self, *flags: str) -> Answer:
        done = self.run("events", "--since", self.begin, "--until", f"{time.time():.9f}", *flags)
        return answer_of(done, self._program)

    def stream(self) -> list[str]:
        """Documents in order; where Docker's order of several in a row is chance they are sorted."""
        events = [json.loads(line) for line in self.told("--format", "{{json .}}").splitlines()]
        for event in events:
            assert event.pop("timeNano") // 10**9 == event.pop("time")
        kinds = groupby(events, lambda event: (event["Type"], event["Action"]))
        ordered = [event for _, group in kinds for event in sorted(group, key=_place)]
        return _masked(json.dumps(ordered, indent=1)).splitlines()


def _place(event: dict[str, Any]) -> tuple[str, ...]:
    if event["Action"] not in _BY_CHANCE:
        return ()
    attributes = event["Actor"]["Attributes"]
    return tuple(attributes.get(name, "") for name in ("container", "name", "destination"))


def _masked(text: str) -> str:
    """IDs by the order of their first appearance: two are the same on one side where they are on the other."""
    known: dict[str, str] = {}
    return _ID.sub(lambda match: known.setdefault(match[0], f"ID{len(known)}"), text)


def _docker(daemon: Dockerd, log: Path) -> Side:
    return Side("docker", daemon.run, [DOCKER, "-H", daemon.host, "events", "--format", "{{json .}}"], log)


def _lamina(lamina: Lamina, log: Path) -> Side:
    return Side("lamina", lamina.run, lamina.command("events", "--format", "{{json .}}"), log)


def _compare(commands: str, sides: tuple[Side, Side], **names: str) -> None:
    try:
        for line in commands.strip().splitlines():
            for side in sides:
                side.run(*(word.format(**names) for word in shlex.split(line)))
            _let_end(sides)
        for side in sides:
            followed = side.follower.log_text()
            assert followed == side.told("--format", "{{json .}}")
    finally:
        for side in sides:
            side.follower.stop()
    theirs, ours = (side.stream() for side in sides)
    assert ours == theirs, "\n".join(unified_diff(theirs, ours, "docker", "lamina", n=12, lineterm=""))


def _let_end(sides: tuple[Side, Side]) -> None:
    """Wait until nobody tells of more: what a command began ends later."""
    before = [-1, -1]
    while before != (before := [os.stat(side.follower.log).st_size for side in sides]):
        time.sleep(0.06)


@pytest.mark.needs("docker-registry")
def test_images_and_volumes_are_told_of(
    tmp_path: Path, dockerd_on: Callable[..., Dockerd], lamina: Lamina, registry: Callable[..., Registry]
) -> None:
    small = small_image("2021-05-06T07:08:09Z", "x", labels={"a": "b", "name": "overwritten"})
    names = {
        "registry": registry().address,
        "small": small.docker_archive(str(tmp_path / "small.tar"), "small:1", "small:2", "other:1"),
        "other": small_image("2021-05-06T07:08:09Z", "y").docker_archive(str(tmp_path / "other.tar"), "other:1"),
        "tar": str(tmp_path / "layer.tar"),
        "out": str(tmp_path / "out.tar"),
    }
    (tmp_path / "layer.tar").write_bytes(b"\0" * 1024)
    daemon = dockerd_on(tmp_path / "docker")
    sides = _docker(daemon, tmp_path / "docker-told"), _lamina(lamina, tmp_path / "lamina-told")
    _compare(IMAGES, sides, **names)


@pytest.fixture
def sides(tmp_path: Path, busybox_archive: str) -> Iterator[tuple[Side, Side]]:
    """Engines that have busybox, each on a host of its own, where they have bridges."""
    programs.need_root()
    programs.need("ip", "nft", "nsenter")
    hosts = Host(), Host()
    daemon = Dockerd(str(tmp_path / "docker"), on=hosts[0])
    lamina = LaminaOn(hosts[1], str(tmp_path / "root"), str(tmp_path / "docker-config"))
    try:
        daemon.start()
        daemon.docker("load", "-q", "-i", busybox_archive)
        lamina("load", "-q", "-i", busybox_archive)
        yield _docker(daemon, tmp_path / "docker-told"), _lamina(lamina, tmp_path / "lamina-told")
    finally:
        lamina.remove_containers()
        daemon.run("rm", "-f", *daemon.run("ps", "-aq").stdout.decode().split())
        daemon.close()
        for host in hosts:
            host.close()


def test_lives_are_told_of_and_filtered(tmp_path: Path, sides: tuple[Side, Side]) -> None:
    _compare(LIFE, sides, out=str(tmp_path / "out.tar"), copy=str(tmp_path / "copy"))
    different = []
    for line in FILTERS.strip().splitlines():
        flags = [word for value in line.split() for word in ("--filter", value)]
        theirs, ours = ([*_lines(side.told(*flags))] for side in sides)
        if ours != theirs:
            different.append(f"{line}\n  docker: {theirs}\n  lamina: {ours}")
    for line in FORMATS.strip().splitlines():
        flags = [word.replace("json_", "json ").replace("len_", "len ") for word in shlex.split(line)]
        theirs, ours = (_lasting(side.asked(*flags)) for side in sides)
        if ours != theirs:
            different.append(f"{line}\n  docker: {theirs}\n  lamina: {ours}")
    assert not different, "\n".join(different)


def _lasting(answer: Answer) -> Answer:
    """Without times and IDs, and in an order that is not chance."""
    out = sorted(re.sub(r"[0-9a-f]{64}|\d{10,}", "", answer.out).splitlines())
    return answer._replace(out="\n".join(out))


def _lines(text: str) -> list[str]:
    """Lines as a person sees them, without their times and IDs; in an order that is not chance."""
    return sorted(_ID.sub("ID", _TIME.sub("", text)).splitlines())

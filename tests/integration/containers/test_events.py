"""events: what the verbs and the monitor write, and what is shown of it."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

import lamina
from lamina.network.contract import Request
from support.command import Lamina

pytestmark = [pytest.mark.root, pytest.mark.needs("crun")]


def shown(box: Lamina, *flags: str) -> list[str]:
    return box("events", "--since", "1h", "--until", "0s", *flags).splitlines()


def test_a_life_is_told_in_order(box: Lamina) -> None:
    box("run", "-d", "--name", "told", "busybox", "sleep", "1000")
    box("pause", "told")
    box("unpause", "told")
    box("rename", "told", "named")
    box("restart", "-t", "0", "named")
    box("rm", "-f", "named")
    life = shown(box, "--filter", "type=container", "--filter", "container=named", "--format", "{{.Action}}")
    assert life[0] == "rename"
    before = shown(box, "--filter", "type=container", "--filter", "container=told", "--format", "{{.Action}}")
    assert before == ["create", "start", "pause", "unpause"]
    assert life == ["rename", "kill", "kill", "die", "stop", "start", "restart", "kill", "die", "destroy"]
    (line,) = shown(box, "--filter", "container=named", "--filter", "event=rename")
    assert line.endswith(" (image=busybox, name=named, oldName=/told)")
    death = json.loads(shown(box, "--filter", "event=die", "--filter", "container=named", "--format", "{{json .}}")[0])
    assert death["Actor"]["Attributes"]["exitCode"] == "137"


def test_followers_see_what_comes(box: Lamina) -> None:
    follower = box.start("events", "--since", "1h", "--filter", "container=late", "--format", "{{.Action}}")
    try:
        assert follower.stdout is not None
        box("run", "--rm", "--name", "late", "busybox", "true")
        told = [follower.stdout.readline().decode().strip() for _ in range(5)]
        assert told == ["create", "attach", "start", "die", "destroy"]
    finally:
        follower.kill()
        follower.communicate()


def test_further_processes_images_volumes_and_networks_are_told_of(box: Lamina) -> None:
    box("run", "-d", "--name", "host", "--network", "none", "busybox", "sleep", "1000")
    box.run("exec", "host", "sh", "-c", "exit 3")
    told = shown(box, "--filter", "container=host", "--format", "{{.Action}}")
    assert told[-3:] == ["exec_create: sh -c exit 3", "exec_start: sh -c exit 3", "exec_die"]
    assert "exitCode=3" in shown(box, "--filter", "container=host", "--filter", "event=exec_die")[0]
    box("tag", "busybox", "told:of")
    box("rmi", "told:of")
    box("volume", "create", "noted")
    box("volume", "create", "noted")
    box("volume", "rm", "noted")
    box("network", "create", "noted")
    box("network", "rm", "noted")
    for kind, actions in (
        ("image", ["tag", "untag"]),
        ("volume", ["create", "create", "destroy"]),
        ("network", ["create", "destroy"]),
    ):
        assert shown(box, "--filter", f"type={kind}", "--format", "{{.Action}}")[-len(actions) :] == actions
    (line, _, _) = shown(box, "--filter", "type=volume", "--filter", "volume=noted")
    assert line.endswith(" volume create noted (driver=local)")
    (line, _) = shown(box, "--filter", "type=network", "--filter", "network=noted")
    assert line.endswith(" (name=noted, type=bridge)")
    assert shown(box, "--filter", "type=image", "--filter", "image=told:of")[0].endswith(" (name=told:of)")
    assert box("system", "events", "--since", "1h", "--until", "0s", "--filter", "volume=noted") != ""


def test_inspect_names_the_processes_that_run(box: Lamina) -> None:
    box("run", "-d", "--name", "inside", "--network", "none", "busybox", "sleep", "1000")
    assert box("inspect", "-f", "{{.ExecIDs}}", "inside") == "[]\n"
    running = box.start("exec", "inside", "sh", "-c", "echo here; sleep 1000")
    try:
        assert running.stdout is not None
        assert running.stdout.readline() == b"here\n"
        (created,) = shown(box, "--filter", "container=inside", "--filter", "event=exec_start")
        (id,) = json.loads(box("inspect", "-f", "{{json .ExecIDs}}", "inside"))
        assert f"execID={id}" in created
    finally:
        box("kill", "inside")
        running.communicate()


def test_the_python_api_tells_what_the_command_line_tells(box: Lamina, tmp_path: Path) -> None:
    archive = str(tmp_path / "archive.tar")
    begin = time.time_ns()
    box("tag", "busybox", "api:1")
    box("save", "-o", archive, "api:1")
    box("rmi", "api:1")
    box("load", "-q", "-i", archive)
    box("rmi", "api:1")
    box("network", "create", "api")
    box("network", "rm", "api")
    box("volume", "create", "api")
    box("volume", "rm", "api")
    box("run", "-d", "--name", "api", "--network", "none", "-v", "api:/data", "busybox", "sleep", "1000")
    box("exec", "api", "true")
    box("rm", "-f", "api")
    box("container", "prune", "-f")
    box("network", "prune", "-f", "--filter", "label=none")
    box("volume", "prune", "-f")
    middle = time.time_ns()
    with lamina.Engine(box.root) as engine:
        engine.images.tag("busybox", "api:1")
        engine.images.save(["api:1"], archive).result()
        engine.images.remove("api:1")
        engine.images.load(archive).result()
        engine.images.remove("api:1")
        engine.networks.remove(engine.networks.create(Request("api")).id)
        engine.volumes.create("api")
        engine.volumes.remove("api", ())
        container = engine.containers.start(
            "busybox", ["sleep", "1000"], name="api", network="none", binds=["api:/data"]
        )
        container.exec(["true"])
        container.remove(force=True)
        engine.containers.prune()
        engine.prune_networks({"label": ["none"]})
        engine.prune_volumes()
        by_command = [_told(event) for event in engine.events(since=begin, until=middle)]
        by_api = [_told(event) for event in engine.events(since=middle + 1, until=time.time_ns())]
    assert by_api == by_command
    assert len(by_api) == 25


def _told(event: dict[str, Any]) -> tuple[str, str, dict[str, str]]:
    """An event without what is different each time."""
    attributes = {key: value for key, value in event["Actor"]["Attributes"].items() if len(value) != 64}
    return event["Type"], event["Action"], attributes

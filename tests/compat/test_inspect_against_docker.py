"""``inspect`` of what the same command line made on docker and on lamina: the same members, types, order and values."""

from __future__ import annotations

import difflib
import json
import re
import shlex
from typing import Any

import pytest

from support import programs
from support.pair import Pair

pytestmark = [pytest.mark.root, pytest.mark.dockerd, pytest.mark.needs("crun")]

#: ``HOST`` is a host directory.
LINES = """
run -d IMAGE sleep 600
run IMAGE sh -c 'exit 3'
run --network host IMAGE true
create IMAGE true
run -e A=1 -l k=v -w /tmp -u 0:0 -h hosty --entrypoint /bin/echo IMAGE a b
run -d -m 64m --cpus 0.5 --pids-limit 50 --cpuset-cpus 0 --cpu-shares 100 IMAGE sleep 600
run -v named:/data -v /anon -v HOST:/ro:ro --tmpfs /t:size=1m IMAGE true
run --mount type=bind,src=HOST,dst=/b,readonly --mount dst=/v,volume-nocopy --mount type=tmpfs,dst=/m IMAGE true
run --cap-add SYS_ADMIN --cap-drop MKNOD --security-opt no-new-privileges --ulimit nofile=100:200 --read-only IMAGE true
run -d --pid host --uts host --ipc shareable IMAGE sleep 600
run --device /dev/null --sysctl net.core.somaxconn=10 --shm-size 1m --oom-score-adj 9 --cgroup-parent lamina IMAGE true
run --stop-signal INT --stop-timeout 3 --group-add 5 --security-opt seccomp=unconfined --cgroupns host IMAGE true
run --security-opt apparmor=unconfined IMAGE true
run -i -a stdin -a stdout IMAGE cat
run --init --security-opt systempaths=unconfined --kernel-memory 10m --blkio-weight 100 IMAGE true
create --privileged --rm --gpus all --device-read-bps /dev/null:1mb IMAGE true
run IMAGE nosuch
run -t IMAGE true
"""

_TIME = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z")
_ID = re.compile(r"[0-9a-f]{64}")


@pytest.fixture(scope="module")
def archive_of_busybox(busybox_archive: str) -> str:
    programs.need("docker-init")
    return busybox_archive


def normal(pair: Pair, side: str, document: dict[str, Any]) -> list[str]:
    """Lines of the document without IDs, times, and places of the two roots."""
    document["Mounts"].sort(key=lambda mount: mount["Destination"])  # docker's are in no order, nor are its Binds
    document["HostConfig"]["Binds"] = sorted(document["HostConfig"]["Binds"] or ()) or None
    state = document["State"]
    state["Pid"] = state["Pid"] > 0
    state["Error"] = state["Error"].replace("runc create failed", "crun create failed")
    for name in ("SandboxKey", "SandboxID"):
        # Of one that never ran, docker names the sandbox that has gone.
        never_ran = state["StartedAt"].startswith("0001-")
        document["NetworkSettings"][name] = bool(document["NetworkSettings"][name]) and not never_ran
    networks = document["NetworkSettings"]["Networks"]
    for endpoint in networks.values():
        endpoint["NetworkID"] = endpoint["EndpointID"] = ""
    text = _TIME.sub("TIME", _ID.sub("ID", json.dumps(document, indent=1)))
    text = text.replace(pair.daemon.root if side == "docker" else pair.lamina.root, "ROOT")
    return text.replace(document["Id"][:12], "SHORT-ID").splitlines()


def difference(pair: Pair, line: str, host: str) -> str:
    """What ``inspect`` says differently of the container that ``line`` makes."""
    verb, *words = shlex.split(line.replace("HOST", host).replace("IMAGE", "busybox"))
    network = [] if "--network" in words else ["--network", "none"]
    command = [verb, "--name", "looked-at", *network, *words]
    docker, lamina = pair.daemon.run(*command), pair.lamina.run(*command)
    try:
        assert docker.returncode == lamina.returncode, f"{docker.stderr.decode()}{lamina.stderr}"
        theirs = json.loads(pair.daemon.docker("inspect", "looked-at"))[0]
        ours = json.loads(pair.lamina("inspect", "looked-at"))[0]
    finally:
        pair.daemon.run("rm", "-fv", "looked-at")
        pair.lamina.run("rm", "-fv", "looked-at")
    lines = difflib.unified_diff(normal(pair, "docker", theirs), normal(pair, "lamina", ours), "docker", "lamina", n=1)
    return "\n".join(lines)


def test_inspect_says_the_same(
    changing: Pair, archive_of_busybox: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    changing.daemon.docker("load", "-i", archive_of_busybox)
    changing.lamina("load", "-i", archive_of_busybox)
    host = str(tmp_path_factory.mktemp("host"))  # beside both roots: a mount that holds one propagates
    found = {line: difference(changing, line, host) for line in LINES.strip().splitlines()}
    changing.daemon.run("volume", "rm", "named")
    assert not any(found.values()), "\n\n".join(f"{line}\n{text}" for line, text in found.items() if text)


#: Templates over members that the JSON of a container without health check, tmpfs and the like leaves out.
TEMPLATES = """
{{if .State.Health}}{{.State.Health.Status}}{{else}}none{{end}}
{{.State.Health}} {{json .State.Health}}
{{.State.Health.Status}}
{{.HostConfig.Init}} {{.HostConfig.Tmpfs}} {{.HostConfig.Sysctls}} {{.HostConfig.StorageOpt}} {{len .HostConfig.Mounts}}
{{range $path, $options := .HostConfig.Tmpfs}}{{$path}}{{end}}{{with .Config.Healthcheck}}{{.Test}}{{end}}x
{{.Config.Healthcheck}} {{.Config.ExposedPorts}} {{.Config.StopTimeout}} {{.Config.Shell}} {{.Config.MacAddress}}
{{.SizeRw}} {{.Node}} {{.HostConfig.PidsLimit}} {{.HostConfig.MemorySwappiness}}
{{.ID}} {{.Nosuch}}
"""


def test_templates_see_what_json_leaves_out(changing: Pair, archive_of_busybox: str) -> None:
    changing.mask_ids = True
    for load in (changing.daemon.docker, changing.lamina):
        load("load", "-i", archive_of_busybox)
    changing.ask("create", "--name", "bare", "--network", "none", "busybox")
    try:
        different = []
        for template in TEMPLATES.strip().splitlines():
            docker, lamina = changing.masked("inspect", "-f", template, "bare")
            if docker != lamina:
                different.append(f"{template}\n  docker: {docker}\n  lamina: {lamina}")
        for kind, name, template in (
            ("image", "busybox", "{{.Variant}}{{.OsVersion}}{{.Config.Healthcheck}}{{.Config.Volumes}}"),
            ("network", "none", "{{.Peers}} {{.Services}} {{.Name}}"),
        ):
            changing.same(kind, "inspect", "-f", template, name)
    finally:
        changing.ask("rm", "-f", "bare")
    assert not different, "\n".join(different)

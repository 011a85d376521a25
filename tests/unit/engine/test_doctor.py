"""``doctor`` names what a host lacks, and what mends it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lamina.engine import doctor
from lamina.engine.doctor import FAILS, LIMITED, WORKS, Finding
from lamina.engine.hostfacts import NEEDED, Driver, HostFacts, gather
from lamina.linux.process import CAPABILITIES
from lamina.runtime.controllers import Controllers
from support.command import Lamina

GIGABYTE = 1 << 30
GOOD = HostFacts(
    user="root",
    uid=0,
    release="6.1.0-18-amd64",
    filesystems=frozenset(("overlay", "fuse", "ext4")),
    devices=frozenset(("fuse",)),
    hierarchy="2",
    controllers=Controllers(),
    capabilities=frozenset(CAPABILITIES),
    programs={"crun": "/usr/bin/crun", "tini-static": "/usr/bin/tini-static", "fusermount3": "/usr/bin/fusermount3"},
    libraries=frozenset(("libseccomp.so.2", "libnftables.so.1")),
    profile=True,
    seccomp=True,
    subordinate=(65536, 65536),
    data_root="/var/lib/lamina",
    free=50 * GIGABYTE,
    size=100 * GIGABYTE,
    drivers=(Driver("overlay2", True, "it works"),),
    forwarding=True,
    user_namespaces=True,
    nameserver="/usr/lib/podman/aardvark-dns",
)


def wrong(**facts: Any) -> list[Finding]:
    """What is found that does not work, on a good host but for ``facts``."""
    return [finding for finding in doctor.examine(GOOD._replace(**facts)) if finding.state != WORKS]


def test_nothing_is_wrong_with_a_good_host() -> None:
    assert wrong() == []
    ordinary = {**GOOD.programs, "newuidmap": "x", "newgidmap": "x", "pasta": "x"}
    assert wrong(uid=1000, user="me", programs=ordinary) == []


@pytest.mark.parametrize(
    ("facts", "name", "state", "remedy"),
    [
        ({"release": "5.4.0"}, "kernel", FAILS, ""),
        ({"release": "5.10.0"}, "kernel", LIMITED, ""),
        ({"filesystems": frozenset(("fuse",))}, "overlayfs", LIMITED, "modprobe overlay"),
        ({"devices": frozenset()}, "fuse", LIMITED, "modprobe fuse"),
        ({"drivers": (Driver("overlay2", False, "no"),)}, "storage driver", FAILS, ""),
        ({"drivers": (Driver("vfs", True, "last"),)}, "storage driver", LIMITED, "modprobe overlay"),
        ({"trouble": "permission denied"}, "data root", FAILS, ""),
        ({"free": 1000}, "disk space", FAILS, "lamina system prune"),
        ({"free": GIGABYTE}, "disk space", LIMITED, "lamina system prune"),
        ({"hierarchy": "none"}, "control groups", FAILS, "mount -t cgroup2"),
        ({"controllers": Controllers(memory=False)}, "control groups", LIMITED, "add cgroup_enable=memory"),
        ({"programs": {"tini-static": "x"}}, "runtime", FAILS, "apt-get install crun"),
        ({"programs": {"runc": "x", "tini-static": "x"}}, "runtime", LIMITED, "apt-get install crun"),
        ({"programs": {"crun": "x"}}, "init", LIMITED, "apt-get install tini"),
        ({"profile": False}, "seccomp", FAILS, "apt-get install golang-github-containers-common"),
        ({"libraries": frozenset(("libnftables.so.1",))}, "seccomp", LIMITED, "apt-get install libseccomp2"),
        ({"libraries": frozenset(("libseccomp.so.2",))}, "network", LIMITED, "apt-get install libnftables1"),
        ({"capabilities": frozenset(NEEDED)}, "capabilities", LIMITED, ""),
        ({"capabilities": frozenset()}, "capabilities", FAILS, ""),
        ({"nameserver": ""}, "names", LIMITED, "apt-get install aardvark-dns"),
        ({"user_namespaces": False}, "user namespaces", LIMITED, "sysctl -w user.max_user_namespaces"),
    ],
)
def test_what_is_missing_is_named_with_its_remedy(facts: dict[str, Any], name: str, state: str, remedy: str) -> None:
    (finding,) = wrong(**facts)
    assert (finding.name, finding.state) == (name, state)
    assert finding.remedy.startswith(remedy)
    assert bool(finding.remedy) == bool(remedy)


def test_an_ordinary_user_needs_ids_and_helpers() -> None:
    lacking = {
        "subordinate": (0, 0),
        "programs": {"crun": "x"},
        "way_out": "need pasta: apt-get install passt",
    }
    names = [finding.name for finding in wrong(uid=1000, user="me", **lacking)]
    assert names == ["fuse", "init", "network", "user namespaces"]


def test_this_host_can_be_looked_at(tmp_path: Any, lamina_on: Any) -> None:
    facts = gather(str(tmp_path / "not" / "there"), (), "nobody")
    assert facts.size > 0
    assert doctor.examine(facts)
    command: Lamina = lamina_on(tmp_path / "root", "--storage-driver", "vfs")
    done = command.run("doctor", "--format", "json")
    assert {finding["state"] for finding in json.loads(done.stdout)} <= {WORKS, LIMITED, FAILS}
    assert done.returncode in (0, 1)
    assert len(command.run("doctor").stdout.splitlines()) >= len(json.loads(done.stdout))

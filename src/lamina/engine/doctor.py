"""What a host can do for the engine, what it can't, and how that is mended: ``lamina doctor``."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from lamina.engine.hostfacts import NEEDED, HostFacts
from lamina.typing import NamedTuple

#: How much of it works: all, all but something, nothing.
WORKS, LIMITED, FAILS = "ok", "warning", "failed"

_GIGABYTE = 1 << 30


class Finding(NamedTuple):
    """One thing that was looked at.

    :ivar state: :data:`WORKS`, :data:`LIMITED` or :data:`FAILS`.
    :ivar what: what is there, or what can't be done.
    :ivar remedy: the command that mends it; ``""`` where nothing has to be, or nothing can.
    """

    name: str
    state: str
    what: str
    remedy: str = ""


def examine(facts: HostFacts) -> list[Finding]:
    """Everything that there is to say of the host."""
    return [finding for check in _CHECKS for finding in check(facts)]


def _kernel(facts: HostFacts) -> Iterator[Finding]:
    match = re.match(r"(\d+)\.(\d+)", facts.release)
    version = (int(match[1]), int(match[2])) if match else (0, 0)
    if version < (5, 6):  # openat2
        yield Finding("kernel", FAILS, f"{facts.release}: 5.6 is the oldest that keeps links inside a container", "")
    elif version < (5, 11):
        yield Finding("kernel", LIMITED, f"{facts.release}: ordinary users can mount overlayfs from 5.11 on")
    else:
        yield Finding("kernel", WORKS, facts.release)


def _storage(facts: HostFacts) -> Iterator[Finding]:
    if "overlay" in facts.filesystems:
        yield Finding("overlayfs", WORKS, "the kernel has it")
    else:
        yield Finding("overlayfs", LIMITED, "the kernel has not loaded it", "modprobe overlay")
    if "fuse" not in facts.filesystems or "fuse" not in facts.devices:
        yield Finding("fuse", LIMITED, "there is no /dev/fuse: no union mounts of our own", "modprobe fuse")
    elif facts.uid and "fusermount3" not in facts.programs:
        yield Finding("fuse", LIMITED, "an ordinary user needs fusermount3 to mount", "apt-get install fuse3")
    else:
        yield Finding("fuse", WORKS, "/dev/fuse is there")
    if facts.trouble:
        yield Finding("data root", FAILS, facts.trouble)
        return
    chosen = [driver for driver in facts.drivers if driver.chosen]
    if not chosen:
        reasons = "; ".join(f"{driver.name}: {driver.reason}" for driver in facts.drivers)
        yield Finding("storage driver", FAILS, f"none works on {facts.data_root}: {reasons}")
    elif chosen[0].name == "vfs":
        yield Finding("storage driver", LIMITED, "vfs: every layer is a copy of the one below", "modprobe overlay")
    else:
        yield Finding("storage driver", WORKS, f"{chosen[0].name}: {chosen[0].reason}")


def _space(facts: HostFacts) -> Iterator[Finding]:
    what = f"{facts.free / _GIGABYTE:.1f} of {facts.size / _GIGABYTE:.1f} GiB are free at {facts.data_root}"
    if facts.free < _GIGABYTE // 4:
        yield Finding("disk space", FAILS, what, "lamina system prune")
    elif facts.free < 2 * _GIGABYTE or facts.free * 20 < facts.size:
        yield Finding("disk space", LIMITED, what, "lamina system prune")
    else:
        yield Finding("disk space", WORKS, what)


def _limits(facts: HostFacts) -> Iterator[Finding]:
    if facts.hierarchy == "none":
        remedy = "mount -t cgroup2 cgroup2 /sys/fs/cgroup"
        yield Finding("control groups", FAILS, "none are mounted at /sys/fs/cgroup: no limits, no pause", remedy)
        return
    have = facts.controllers
    lacking = [
        name
        for name, there in (
            ("memory", have.memory),
            ("swap", have.swap),
            ("cpu shares", have.shares),
            ("cpu quota", have.quota),
            ("cpuset", have.cpuset),
            ("pids", have.pids),
            ("block i/o limits", have.block_throttle),
        )
        if not there
    ]
    if facts.uid and not (have.memory or have.pids or have.quota):
        # A session, or a manager without one, is what systemd gives groups to.
        remedy = f"loginctl enable-linger {facts.user}" if facts.hierarchy == "2" else ""
        yield Finding("control groups", LIMITED, "none for an ordinary user: no limits, no stats, no pause", remedy)
        return
    version = "version 1, hybrid" if facts.hierarchy == "hybrid" else f"version {facts.hierarchy}"
    if facts.uid:
        version += ", below the user's own"
    if lacking:
        remedy = "add cgroup_enable=memory swapaccount=1 to the kernel's command line" if "memory" in lacking else ""
        yield Finding("control groups", LIMITED, f"{version}, without limits of {', '.join(lacking)}", remedy)
    else:
        yield Finding("control groups", WORKS, version)


def _runtimes(facts: HostFacts) -> Iterator[Finding]:
    names = [name for name in ("crun", "runc") if name in facts.programs]
    if not names:
        yield Finding("runtime", FAILS, "neither crun nor runc is installed: no containers", "apt-get install crun")
    elif "crun" not in names:
        yield Finding("runtime", LIMITED, "runc only: containers start twice as fast with crun", "apt-get install crun")
    else:
        yield Finding("runtime", WORKS, ", ".join(facts.programs[name] for name in names))
    inits = [facts.programs[name] for name in ("docker-init", "tini-static", "catatonit") if name in facts.programs]
    if inits:
        yield Finding("init", WORKS, inits[0])
    else:
        yield Finding("init", LIMITED, "run --init has no program to use", "apt-get install tini")


def _rights(facts: HostFacts) -> Iterator[Finding]:
    profile = "golang-github-containers-common"
    if not facts.seccomp:
        what = "the kernel has no seccomp filters: containers need --security-opt seccomp=unconfined"
        yield Finding("seccomp", FAILS, what)
    elif not facts.profile:
        yield Finding("seccomp", FAILS, "the default profile is not installed", f"apt-get install {profile}")
    elif "libseccomp.so.2" not in facts.libraries:
        what = "profiles are compiled at every start: libseccomp is not installed"
        yield Finding("seccomp", LIMITED, what, "apt-get install libseccomp2")
    else:
        yield Finding("seccomp", WORKS, "the default profile is compiled once and kept")
    if facts.uid:
        return
    missing = [name.removeprefix("CAP_") for name in NEEDED if name not in facts.capabilities]
    if missing:
        yield Finding("capabilities", FAILS, f"root lacks {', '.join(missing)} here")
    elif "CAP_SYS_RESOURCE" not in facts.capabilities:
        what = "root lacks SYS_RESOURCE here: containers can't get more than its own ulimits"
        yield Finding("capabilities", LIMITED, what)
    else:
        yield Finding("capabilities", WORKS, "root has what containers can ask for")


def _network(facts: HostFacts) -> Iterator[Finding]:
    if facts.uid:
        what, _, remedy = facts.way_out.partition(": ")
        yield Finding("network", LIMITED, what, remedy) if what else Finding("network", WORKS, "pasta is installed")
    if "libnftables.so.1" not in facts.libraries:
        what = "bridge networks and published ports need libnftables"
        yield Finding("network", LIMITED, what, "apt-get install libnftables1")
    elif not facts.forwarding and not facts.uid:
        what = "the kernel forwards no packets; it will once a container is on a bridge network"
        yield Finding("network", WORKS, what, "sysctl -w net.ipv4.ip_forward=1")
    else:
        yield Finding("network", WORKS, "libnftables is installed, packets are forwarded")
    if facts.nameserver:
        yield Finding("names", WORKS, facts.nameserver)
    else:
        what = "containers on networks do not find each other by name"
        yield Finding("names", LIMITED, what, "apt-get install aardvark-dns")


def _ordinary_users(facts: HostFacts) -> Iterator[Finding]:
    if not facts.user_namespaces:
        what = "ordinary users can't make user namespaces"
        yield Finding("user namespaces", LIMITED, what, "sysctl -w user.max_user_namespaces=15000")
        return
    uids, gids = facts.subordinate
    if facts.uid and min(uids, gids) < 1 << 16:
        remedy = f"usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {facts.user}"
        yield Finding("user namespaces", LIMITED, f"{facts.user} has fewer than 65536 subordinate ids", remedy)
    elif facts.uid and not {"newuidmap", "newgidmap"} <= facts.programs.keys():
        yield Finding("user namespaces", LIMITED, "newuidmap is not installed", "apt-get install uidmap")
    else:
        yield Finding("user namespaces", WORKS, f"{uids} subordinate ids for {facts.user}" if facts.uid else "allowed")


_CHECKS: tuple[Callable[[HostFacts], Iterator[Finding]], ...] = (
    _kernel,
    _storage,
    _space,
    _limits,
    _runtimes,
    _rights,
    _network,
    _ordinary_users,
)

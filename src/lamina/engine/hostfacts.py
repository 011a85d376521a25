"""What there is on a host, gathered once, for :mod:`lamina.engine.doctor` to judge."""

from __future__ import annotations

import os
from collections.abc import Mapping

from lamina.linux import process, seccomp
from lamina.linux.files import text_of
from lamina.network import naming
from lamina.rootless import network, subordinate
from lamina.runtime import cgroup, controllers
from lamina.runtime.controllers import Controllers
from lamina.runtime.program import NAMES, SEARCH
from lamina.runtime.seccomp import DEFAULT_PROFILE
from lamina.typing import NamedTuple

_LIBRARIES = ("/usr/lib", "/usr/lib64", "/lib", "/usr/local/lib")
#: Programs that something needs.
_PROGRAMS = (
    *NAMES,
    *(
        "fusermount3",
        "newuidmap",
        "newgidmap",
        "pasta",
        "slirp4netns",
        "git",
        "docker-init",
        "tini-static",
        "catatonit",
    ),
)
#: Capabilities without which an engine of root's can do little.
NEEDED = ("CAP_SYS_ADMIN", "CAP_NET_ADMIN", "CAP_MKNOD", "CAP_CHOWN", "CAP_SETUID", "CAP_SETGID", "CAP_DAC_OVERRIDE")


class Driver(NamedTuple):
    """A graph driver, as :class:`lamina.graphdriver.choice.Choice` has it."""

    name: str
    chosen: bool
    reason: str


class HostFacts(NamedTuple):
    """A host as it is now.

    :ivar release: of the kernel: ``6.1.0-18-amd64``.
    :ivar filesystems: that the kernel has; a module that is not loaded is missing.
    :ivar hierarchy: ``1``, ``hybrid``, ``2`` or ``none``.
    :ivar programs: name to path of those that are installed.
    :ivar libraries: names of shared libraries that are installed.
    :ivar subordinate: lines of ``/etc/subuid`` and ``/etc/subgid`` for this user: how many ids each gives.
    :ivar free: bytes that are free where the data root is, and ``size`` of all.
    :ivar way_out: what an ordinary user's networks lack; ``""`` when nothing.
    :ivar nameserver: path of the server for names on networks, ``""`` without.
    :ivar trouble: why the data root can't be opened; ``""`` when it can.
    """

    user: str
    uid: int
    release: str
    filesystems: frozenset[str]
    devices: frozenset[str]
    hierarchy: str
    controllers: Controllers
    capabilities: frozenset[str]
    programs: Mapping[str, str]
    libraries: frozenset[str]
    profile: bool
    seccomp: bool
    subordinate: tuple[int, int]
    data_root: str
    free: int
    size: int
    drivers: tuple[Driver, ...]
    forwarding: bool
    user_namespaces: bool
    nameserver: str
    way_out: str = ""
    trouble: str = ""


def gather(data_root: str, drivers: tuple[Driver, ...], user: str, trouble: str = "") -> HostFacts:
    """The facts of this host. ``data_root`` need not exist."""
    status = os.statvfs(_existing(data_root))
    return HostFacts(
        user=user,
        uid=os.geteuid(),
        release=os.uname().release,
        filesystems=frozenset(line.split()[-1] for line in text_of("/proc/filesystems").splitlines()),
        devices=frozenset(name for name in ("fuse", "net/tun") if os.path.exists(f"/dev/{name}")),
        hierarchy=_hierarchy(),
        controllers=controllers.read(),
        capabilities=process.bounding_capabilities(),
        programs=_programs(),
        libraries=frozenset(name for name in ("libseccomp.so.2", "libnftables.so.1") if _has_library(name)),
        profile=os.path.exists(DEFAULT_PROFILE),
        seccomp=os.path.exists("/proc/sys/kernel/seccomp/actions_avail"),
        subordinate=(_subordinate(subordinate.SUBUID, user), _subordinate(subordinate.SUBGID, user)),
        data_root=data_root,
        free=status.f_bavail * status.f_frsize,
        size=status.f_blocks * status.f_frsize,
        drivers=drivers,
        forwarding=_setting("/proc/sys/net/ipv4/ip_forward") > 0,
        user_namespaces=_setting("/proc/sys/user/max_user_namespaces") > 0,
        nameserver=naming.program(),
        way_out=network.obstacle(),
        trouble=trouble,
    )


def _existing(path: str) -> str:
    path = os.path.abspath(path)
    while not os.path.exists(path):
        path = os.path.dirname(path)
    return path


def _hierarchy() -> str:
    if cgroup.is_unified():
        return "2"
    if not os.path.isdir("/sys/fs/cgroup/memory"):
        return "none"
    return "hybrid" if os.path.isdir("/sys/fs/cgroup/unified") else "1"


def _programs() -> dict[str, str]:
    found = {}
    for name in _PROGRAMS:
        path = next((f"{place}/{name}" for place in SEARCH if os.access(f"{place}/{name}", os.X_OK)), "")
        if path:
            found[name] = path
    return found


def _has_library(name: str) -> bool:
    if name == "libseccomp.so.2":
        try:
            return bool(seccomp.library_version())
        except seccomp.NotCompilable:
            return False
    places = [*_LIBRARIES, *(f"/usr/lib/{os.uname().machine}-linux-gnu", f"/lib/{os.uname().machine}-linux-gnu")]
    return any(os.path.exists(f"{place}/{name}") for place in places)


def _subordinate(path: str, user: str) -> int:
    """How many ids the file gives to the user."""
    return sum(one.size for one in subordinate.ranges(path, user, os.getuid()))


def _setting(path: str) -> int:
    lines = text_of(path).splitlines()
    return int(lines[0]) if lines and lines[0].isdecimal() else 0

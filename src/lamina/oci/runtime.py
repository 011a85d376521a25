"""Runtime-spec documents (``config.json`` of a bundle), as far as an engine writes them.

Format: OCI runtime-spec 1.0.2, ``config.md`` and ``config-linux.md``. The defaults are those of Docker 20.10.
"""

from lamina import json
from lamina.typing import Any, NamedTuple

#: What a container's process may do without ``--cap-add`` (Docker's default set).
DEFAULT_CAPABILITIES = (
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
)

#: Hidden from the container: they tell about the host or change it.
MASKED_PATHS = (
    "/proc/asound",
    "/proc/acpi",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
)

READONLY_PATHS = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")

#: Default ``PATH`` of a container whose image sets none.
DEFAULT_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def _device(allow: bool, major: int, minor: int) -> dict[str, Any]:
    return {"allow": allow, "type": "c", "major": major, "minor": minor, "access": "rwm"}


#: Devices of a container without ``--device``: nothing but zero, null, urandom, random, tty and console.
DEFAULT_DEVICE_RULES: tuple[dict[str, Any], ...] = (
    {"allow": False, "access": "rwm"},
    _device(True, 1, 5),
    _device(True, 1, 3),
    _device(True, 1, 9),
    _device(True, 1, 8),
    _device(True, 5, 0),
    _device(True, 5, 1),
    _device(False, 10, 229),  # /dev/fuse
)


class Mount(NamedTuple):
    """One entry of ``mounts``."""

    destination: str
    type: str
    source: str
    options: tuple[str, ...]


class User(NamedTuple):
    """``process.user``. ``additional_gids`` begins with ``gid``, or a group could be shed (CVE-2022-36109)."""

    uid: int
    gid: int
    additional_gids: tuple[int, ...]


class Process(NamedTuple):
    """``process``. ``nofile`` is the limit of open files, soft and hard; 0 leaves the runtime's own."""

    args: tuple[str, ...]
    env: tuple[str, ...]
    cwd: str
    user: User
    terminal: bool = False
    capabilities: tuple[str, ...] = DEFAULT_CAPABILITIES
    nofile: int = 0
    no_new_privileges: bool = False


class Specification(NamedTuple):
    """A whole bundle.

    :ivar root: absolute host path of the root file system.
    :ivar namespaces: types of the namespaces to make; one that is missing is the host's.
    """

    root: str
    process: Process
    hostname: str
    mounts: tuple[Mount, ...]
    namespaces: tuple[str, ...]
    cgroups_path: str
    read_only: bool = False
    masked_paths: tuple[str, ...] = MASKED_PATHS
    readonly_paths: tuple[str, ...] = READONLY_PATHS
    device_rules: tuple[dict[str, Any], ...] = DEFAULT_DEVICE_RULES
    sysctl: dict[str, str] | None = None
    annotations: dict[str, str] | None = None


def default_mounts(shm_size: int) -> list[Mount]:
    """The pseudo file systems of every container; ``shm_size`` in bytes."""
    quiet = ("nosuid", "noexec", "nodev")
    return [
        Mount("/proc", "proc", "proc", quiet),
        Mount("/dev", "tmpfs", "tmpfs", ("nosuid", "strictatime", "mode=755", "size=65536k")),
        Mount(
            "/dev/pts",
            "devpts",
            "devpts",
            ("nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"),
        ),
        Mount("/sys", "sysfs", "sysfs", (*quiet, "ro")),
        Mount("/sys/fs/cgroup", "cgroup", "cgroup", ("ro", *quiet)),
        Mount("/dev/mqueue", "mqueue", "mqueue", quiet),
        Mount("/dev/shm", "tmpfs", "shm", (*quiet, "mode=1777", f"size={shm_size}")),  # noqa: S108 - inside the container
    ]


def document(specification: Specification) -> dict[str, Any]:
    """The object that ``config.json`` holds, without ``linux.seccomp``; ``linux`` is its last member."""
    result: dict[str, Any] = {
        "ociVersion": "1.0.2",
        "process": _process(specification.process),
        "root": {"path": specification.root, "readonly": specification.read_only},
        "mounts": [
            {"destination": mount.destination, "type": mount.type, "source": mount.source, "options": mount.options}
            for mount in specification.mounts
        ],
    }
    if "uts" in specification.namespaces:
        result["hostname"] = specification.hostname
    if specification.annotations:
        result["annotations"] = specification.annotations
    result["linux"] = {
        "cgroupsPath": specification.cgroups_path,
        "namespaces": [{"type": kind} for kind in specification.namespaces],
        "resources": {"devices": specification.device_rules},
        "sysctl": specification.sysctl or {},
        "maskedPaths": specification.masked_paths,
        "readonlyPaths": specification.readonly_paths,
    }
    return result


def _process(process: Process) -> dict[str, Any]:
    sets = dict.fromkeys(("bounding", "effective", "permitted"), process.capabilities)
    result: dict[str, Any] = {
        "terminal": process.terminal,
        "user": {
            "uid": process.user.uid,
            "gid": process.user.gid,
            "additionalGids": process.user.additional_gids,
        },
        "args": process.args,
        "env": process.env,
        "cwd": process.cwd,
        "capabilities": sets,
        "noNewPrivileges": process.no_new_privileges,
    }
    if process.nofile:
        result["rlimits"] = [{"type": "RLIMIT_NOFILE", "hard": process.nofile, "soft": process.nofile}]
    return result


def encode(document: dict[str, Any], seccomp: bytes | None) -> bytes:
    """``config.json``. ``seccomp`` is the JSON text of ``linux.seccomp``, which is large and always the same."""
    text = json.dumps(document, separators=(",", ":")).encode()
    if seccomp is None:
        return text
    return b'%s,"seccomp":%s}}' % (text[:-2], seccomp)

"""The engine as a whole: ``GET /info``, ``GET /version``, ``GET /system/df``."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence

from lamina.container import controlgroup
from lamina.container.processlimits import InitMissing, init_program
from lamina.digest import ChainID, chain_ids
from lamina.linux import userns
from lamina.oci import timestamp
from lamina.runtime import apparmor, controllers
from lamina.typing import TYPE_CHECKING, Any
from lamina.version import __version__
from lamina.view import host

if TYPE_CHECKING:
    from lamina.engine import Engine

#: The Engine API that the documents follow.
API_VERSION = "1.41"
MINIMUM_API_VERSION = "1.24"


class ContainerCounts:
    """How many containers there are, by state."""

    def __init__(self, states: Sequence[str]) -> None:
        self.total = len(states)
        self.paused = sum(state == "paused" for state in states)
        self.running = sum(state in ("running", "restarting") for state in states)
        self.stopped = self.total - self.paused - self.running


def info(engine: Engine, containers: ContainerCounts, runtimes: dict[str, str], default_runtime: str) -> dict[str, Any]:
    """``GET /info``.

    :param runtimes: name to program of every OCI runtime that can be used.
    """
    uname = os.uname()
    system, system_version = host.operating_system()
    configuration = engine.configuration
    confining, warnings = apparmor.information()
    return {
        "ID": "",
        "Containers": containers.total,
        "ContainersRunning": containers.running,
        "ContainersPaused": containers.paused,
        "ContainersStopped": containers.stopped,
        "Images": len(engine.image_store.ids()),
        "Driver": engine.driver.name,
        "DriverStatus": [list(row) for row in (*engine.driver.status(), *_choice(engine))],
        "Plugins": {"Volume": ["local"], "Network": ["host", "null"], "Authorization": None, "Log": ["json-file"]},
        **_kernel_abilities(),
        "Debug": False,
        "NFd": len(os.listdir("/proc/self/fd")),
        "OomKillDisable": controllers.read().oom_kill_disable,
        "NGoroutines": 0,
        "SystemTime": timestamp.fixed_text(time.time_ns()),
        "LoggingDriver": configuration.log_driver,
        "CgroupDriver": "cgroupfs",
        "CgroupVersion": host.cgroup_version(),
        "NEventsListener": 0,
        "KernelVersion": uname.release,
        "OperatingSystem": system,
        "OSVersion": system_version,
        "OSType": "linux",
        "Architecture": uname.machine,
        "IndexServerAddress": "https://index.docker.io/v1/",
        "RegistryConfig": _registries(engine),
        "NCPU": len(os.sched_getaffinity(0)),
        "MemTotal": host.memory(),
        "GenericResources": None,
        "DockerRootDir": engine.root.path,
        "HttpProxy": configuration.proxies.http_proxy,
        "HttpsProxy": configuration.proxies.https_proxy,
        "NoProxy": configuration.proxies.no_proxy,
        "Name": uname.nodename,
        "Labels": list(configuration.labels),
        "ExperimentalBuild": False,
        "ServerVersion": __version__,
        "Runtimes": {name: {"path": path} for name, path in sorted(runtimes.items())},
        "DefaultRuntime": default_runtime,
        "Swarm": {
            "NodeID": "",
            "NodeAddr": "",
            "LocalNodeState": "inactive",
            "ControlAvailable": False,
            "Error": "",
            "RemoteManagers": None,
        },
        "LiveRestoreEnabled": True,
        "Isolation": "",
        "InitBinary": _init_binary(),
        "ContainerdCommit": {"ID": "", "Expected": ""},
        "RuncCommit": {"ID": "", "Expected": ""},
        "InitCommit": {"ID": "", "Expected": ""},
        "SecurityOptions": _security_options(engine, confining=confining),
        "Warnings": [*_warnings(engine), *warnings] or None,
    }


def _choice(engine: Engine) -> Iterator[tuple[str, str]]:
    """Why the graph driver is the one it is, and what kept those from it that would have come before."""
    for choice in engine.driver_choices:
        yield ("Chosen Because", choice.reason) if choice.chosen else (f"Not {choice.name} Because", choice.reason)
        if choice.chosen:
            return


def _kernel_abilities() -> dict[str, bool]:
    able = controllers.read()
    return {
        "MemoryLimit": able.memory,
        "SwapLimit": able.swap,
        "KernelMemory": able.kernel_memory,
        "KernelMemoryTCP": able.kernel_memory,
        "CpuCfsPeriod": able.quota,
        "CpuCfsQuota": able.quota,
        "CPUShares": able.shares,
        "CPUSet": able.cpuset,
        "PidsLimit": able.pids,
        "IPv4Forwarding": host.switched_on("/proc/sys/net/ipv4/ip_forward"),
        "BridgeNfIptables": host.switched_on("/proc/sys/net/bridge/bridge-nf-call-iptables"),
        "BridgeNfIp6tables": host.switched_on("/proc/sys/net/bridge/bridge-nf-call-ip6tables"),
    }


def _init_binary() -> str:
    """Name of the program of ``--init``; ``""`` without."""
    try:
        return os.path.basename(init_program())
    except InitMissing:
        return ""


def _registries(engine: Engine) -> dict[str, Any]:
    configuration = engine.configuration
    mirrors = list(configuration.registry_mirrors)
    hosts = [name for name in configuration.insecure_registries if "/" not in name]
    return {
        "AllowNondistributableArtifactsCIDRs": [],
        "AllowNondistributableArtifactsHostnames": [],
        "InsecureRegistryCIDRs": ["127.0.0.0/8", *(name for name in configuration.insecure_registries if "/" in name)],
        "IndexConfigs": {
            "docker.io": {"Name": "docker.io", "Mirrors": mirrors, "Secure": True, "Official": True},
            **{name: {"Name": name, "Mirrors": [], "Secure": False, "Official": False} for name in sorted(hosts)},
        },
        "Mirrors": mirrors,
    }


def _security_options(engine: Engine, *, confining: bool) -> list[str]:
    """What keeps containers from the host, in Docker's order.

    :param confining: whether AppArmor does.
    """
    namespace = engine.configuration.default_cgroupns_mode or controlgroup.default_namespace()
    return [
        *(["name=apparmor"] if confining else []),
        "name=seccomp,profile=default",
        *(["name=userns"] if engine.root.owners.are_mapped else []),
        *([] if userns.is_initial() else ["name=rootless"]),
        *(["name=cgroupns"] if namespace == "private" else []),
    ]


def _warnings(engine: Engine) -> list[str]:
    if engine.root.read_only:
        return ["WARNING: The data root can't be written now: a dockerd works on it, or it is read-only"]
    return []


def version(components: Sequence[tuple[str, str]] = ()) -> dict[str, Any]:
    """``GET /version``.

    :param components: name and version of the programs that lamina works with.
    """
    import platform as python_platform

    uname = os.uname()
    details = {
        "ApiVersion": API_VERSION,
        "Arch": host.go_architecture(),
        "Experimental": "false",
        "KernelVersion": uname.release,
        "MinAPIVersion": MINIMUM_API_VERSION,
        "Os": "linux",
        "PythonVersion": python_platform.python_version(),
    }
    return {
        "Platform": {"Name": "lamina"},
        "Components": [
            {"Name": "Engine", "Version": __version__, "Details": details},
            *({"Name": name, "Version": text, "Details": {}} for name, text in components),
        ],
        "Version": __version__,
        "ApiVersion": API_VERSION,
        "MinAPIVersion": MINIMUM_API_VERSION,
        "GitCommit": "",
        "GoVersion": "",
        "Os": "linux",
        "Arch": host.go_architecture(),
        "KernelVersion": uname.release,
        "BuildTime": "",
    }


def image_usage(engine: Engine, uses: Sequence[str]) -> tuple[int, list[dict[str, Any]]]:
    """``LayersSize`` and ``Images`` of ``GET /system/df``.

    :param uses: the image ID of each container.
    """
    from lamina.view.imagelist import summaries

    store = engine.image_store
    documents = summaries(store, {})
    stacks: dict[str, list[ChainID]] = {str(image.id): chain_ids(image.config.diff_ids) for image in store.all()}
    sizes = {layer.chain_id: layer.size for layer in engine.layers.all()}
    sharers: dict[ChainID, int] = {}
    for document in documents:
        for chain_id in stacks.get(document["Id"], ()):
            sharers[chain_id] = sharers.get(chain_id, 0) + 1
    for document in documents:
        stack = stacks.get(document["Id"], ())
        document["SharedSize"] = sum(sizes.get(chain_id, 0) for chain_id in stack if sharers[chain_id] > 1)
        document["Containers"] = sum(use == document["Id"] for use in uses)
    return sum(sizes.values()), documents

"""``HostConfig`` with Docker's members, order and defaults (``hostconfig.json`` of Docker 20.10 on Linux)."""

from __future__ import annotations

from collections.abc import Mapping

from lamina.configuration import Configuration
from lamina.oci.runtime import MASKED_PATHS, READONLY_PATHS
from lamina.typing import Any

SHM_SIZE = 64 << 20
#: Docker's name for whatever runtime is the default.
DEFAULT_RUNTIME = "runc"

#: Members that are not there when they say nothing.
_LEFT_OUT = ("StorageOpt", "Tmpfs", "Sysctls", "Mounts", "Init")


def host_config(given: Mapping[str, Any], *, cgroup_namespace: str) -> dict[str, Any]:
    """All of Docker's members: what ``given`` says, the defaults elsewhere. Members that are unknown are dropped."""
    result: dict[str, Any] = {
        "Binds": None,
        "ContainerIDFile": "",
        "LogConfig": {"Type": "json-file", "Config": {}},
        "NetworkMode": "default",
        "PortBindings": {},
        "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0},
        "AutoRemove": False,
        "VolumeDriver": "",
        "VolumesFrom": None,
        "CapAdd": None,
        "CapDrop": None,
        "CgroupnsMode": cgroup_namespace,
        "Dns": [],
        "DnsOptions": [],
        "DnsSearch": [],
        "ExtraHosts": None,
        "GroupAdd": None,
        "IpcMode": "private",
        "Cgroup": "",
        "Links": None,
        "OomScoreAdj": 0,
        "PidMode": "",
        "Privileged": False,
        "PublishAllPorts": False,
        "ReadonlyRootfs": False,
        "SecurityOpt": None,
        "StorageOpt": None,
        "Tmpfs": None,
        "UTSMode": "",
        "UsernsMode": "",
        "ShmSize": SHM_SIZE,
        "Sysctls": None,
        "Runtime": DEFAULT_RUNTIME,
        "ConsoleSize": [0, 0],
        "Isolation": "",
        "CpuShares": 0,
        "Memory": 0,
        "NanoCpus": 0,
        "CgroupParent": "",
        "BlkioWeight": 0,
        "BlkioWeightDevice": [],
        "BlkioDeviceReadBps": None,
        "BlkioDeviceWriteBps": None,
        "BlkioDeviceReadIOps": None,
        "BlkioDeviceWriteIOps": None,
        "CpuPeriod": 0,
        "CpuQuota": 0,
        "CpuRealtimePeriod": 0,
        "CpuRealtimeRuntime": 0,
        "CpusetCpus": "",
        "CpusetMems": "",
        "Devices": [],
        "DeviceCgroupRules": None,
        "DeviceRequests": None,
        "KernelMemory": 0,
        "KernelMemoryTCP": 0,
        "MemoryReservation": 0,
        "MemorySwap": 0,
        "MemorySwappiness": None,
        "OomKillDisable": False,
        "PidsLimit": None,
        "Ulimits": None,
        "CpuCount": 0,
        "CpuPercent": 0,
        "IOMaximumIOps": 0,
        "IOMaximumBandwidth": 0,
        "Mounts": None,
        "MaskedPaths": list(MASKED_PATHS),
        "ReadonlyPaths": list(READONLY_PATHS),
        "Init": None,
    }
    for key, value in given.items():
        if value is not None and key in result:
            result[key] = value
    for key in _LEFT_OUT:
        if result[key] is None or (not result[key] and key != "Init"):
            del result[key]
    return result


def configured(given: Mapping[str, Any], configuration: Configuration) -> dict[str, Any]:
    """``HostConfig`` of a new container with what daemon.json says where ``given`` says nothing."""
    from lamina.container import logdrivers

    log = logdrivers.Defaults(configuration.log_driver, configuration.log_opts)
    return {**configured_limits(given, configuration), "LogConfig": log.complete(given.get("LogConfig"))}


def configured_limits(given: Mapping[str, Any], configuration: Configuration) -> dict[str, Any]:
    """:func:`configured` for a container that has no log."""
    result = dict(given)
    result["ShmSize"] = given.get("ShmSize") or configuration.default_shm_size
    for member, mode in (
        ("CgroupnsMode", configuration.default_cgroupns_mode),
        ("IpcMode", configuration.default_ipc_mode),
    ):
        if mode and not given.get(member):
            result[member] = mode
    if configuration.default_ulimits:
        own = list(given.get("Ulimits") or ())
        names = {limit["Name"] for limit in own}
        result["Ulimits"] = own + [
            {"Name": name, "Hard": hard, "Soft": soft}
            for name, soft, hard in configuration.default_ulimits
            if name not in names
        ]
    return result


def endpoint() -> dict[str, Any]:
    """An entry of ``NetworkSettings.Networks`` before there is a network."""
    return {
        "IPAMConfig": None,
        "Links": None,
        "Aliases": None,
        "NetworkID": "",
        "EndpointID": "",
        "Gateway": "",
        "IPAddress": "",
        "IPPrefixLen": 0,
        "IPv6Gateway": "",
        "GlobalIPv6Address": "",
        "GlobalIPv6PrefixLen": 0,
        "MacAddress": "",
        "DriverOpts": None,
    }


def network_settings(mode: str) -> dict[str, Any]:
    """``NetworkSettings`` of a container on the network ``mode``, as ``config.v2.json`` has it."""
    return {
        "Bridge": "",
        "SandboxID": "",
        "HairpinMode": False,
        "LinkLocalIPv6Address": "",
        "LinkLocalIPv6PrefixLen": 0,
        "Networks": {mode: {**endpoint(), "IPAMOperational": False}},
        "Service": None,
        "Ports": {},
        "SandboxKey": "",
        "SecondaryIPAddresses": None,
        "SecondaryIPv6Addresses": None,
        "IsAnonymousEndpoint": False,
        "HasSwarmEndpoint": False,
    }

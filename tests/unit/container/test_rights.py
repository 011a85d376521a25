"""Capabilities, seccomp and devices by Docker's rules."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lamina.container import defaults, rights
from lamina.container.configuring import InvalidSetting
from lamina.container.record import Container
from lamina.linux.process import CAPABILITIES
from lamina.oci.runtime import DEFAULT_CAPABILITIES, DEFAULT_DEVICE_RULES
from lamina.runtime.seccomp import ProfileUnavailable


def wanted(**members: Any) -> dict[str, Any]:
    return defaults.host_config(members, cgroup_namespace="host")


def document() -> dict[str, Any]:
    mounts = [{"type": "sysfs", "options": ("nosuid", "ro")}, {"type": "cgroup", "options": ("ro", "nosuid")}]
    return {"process": {}, "mounts": mounts, "linux": {"resources": {"devices": DEFAULT_DEVICE_RULES}}}


def written(**members: Any) -> dict[str, Any]:
    result = document()
    rights.write(result, Container({}, wanted(**members)), {})
    return result


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({}, set(DEFAULT_CAPABILITIES)),
        ({"CapAdd": ["sys_admin"]}, {*DEFAULT_CAPABILITIES, "CAP_SYS_ADMIN"}),
        ({"CapAdd": ["CAP_SYS_ADMIN"], "CapDrop": ["MKNOD"]}, {*DEFAULT_CAPABILITIES, "CAP_SYS_ADMIN"} - {"CAP_MKNOD"}),
        ({"CapDrop": ["all"]}, set()),
        ({"CapDrop": ["ALL"], "CapAdd": ["KILL"]}, {"CAP_KILL"}),
        ({"CapAdd": ["ALL"], "CapDrop": ["KILL"]}, set(CAPABILITIES) - {"CAP_KILL"}),
        ({"Privileged": True, "CapDrop": ["KILL"]}, set(CAPABILITIES)),
    ],
)
def test_capabilities_are_added_and_dropped(members: dict[str, Any], expected: set[str]) -> None:
    assert set(rights.capabilities(wanted(**members))) == expected


def test_what_the_host_can_not_give_is_told() -> None:
    available = frozenset(CAPABILITIES) - {"CAP_SYS_RESOURCE", "CAP_BPF"}
    warnings = rights.examine(wanted(Privileged=True), available)
    assert warnings == ["This host can not give the capabilities SYS_RESOURCE, BPF. The container goes without."]
    assert rights.examine(wanted(CapAdd=["SYS_ADMIN"]), available) == []


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"CapAdd": ["nosuch"]}, 'invalid CapAdd: unknown capability: "CAP_NOSUCH"'),
        ({"CapDrop": ["nosuch"]}, 'invalid CapDrop: unknown capability: "CAP_NOSUCH"'),
        ({"SecurityOpt": ["no-new-privileges=x"]}, 'invalid --security-opt 2: "no-new-privileges=x"'),
        ({"SecurityOpt": ["x=y"]}, 'invalid --security-opt 2: "x=y"'),
        ({"SecurityOpt": ["x"]}, 'invalid --security-opt 1: "x"'),
        ({"DeviceCgroupRules": ["c 1:3"]}, "invalid device cgroup rule format: 'c 1:3'"),
        ({"Devices": [{"PathOnHost": "/dev/null", "CgroupPermissions": "q"}]}, "bad mode specified: q"),
    ],
)
def test_what_makes_no_sense_is_refused_in_dockers_words(members: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidSetting, match=message):
        rights.examine(wanted(**members), frozenset(CAPABILITIES))


def test_options_say_what_the_record_keeps() -> None:
    options = ["seccomp=unconfined", "no-new-privileges", "apparmor:mine", "label=disable"]
    assert rights.profile_names(wanted(SecurityOpt=options)) == {
        "SeccompProfile": "unconfined",
        "NoNewPrivileges": True,
        "AppArmorProfile": "mine",
    }
    assert written(SecurityOpt=options)["process"]["noNewPrivileges"] is True
    assert written(SecurityOpt=["no-new-privileges:false"])["process"]["noNewPrivileges"] is False


def test_seccomp_is_off_only_when_asked_for(tmp_path: Path) -> None:
    for members in ({"SecurityOpt": ["seccomp=unconfined"]}, {"Privileged": True}):
        assert rights.seccomp(wanted(**members), (), str(tmp_path)) is None


def test_a_profile_of_ones_own_counts_by_capabilities_and_is_kept(tmp_path: Path) -> None:
    rule = {"names": ["mount"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}}
    profile = {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [rule, {"name": "read", "action": "SCMP_ACT_ALLOW"}]}
    options = wanted(SecurityOpt=[f"seccomp={json.dumps(profile)}"])
    for names, calls in (((), ["read"]), (("CAP_SYS_ADMIN",), ["mount", "read"])):
        found = rights.seccomp(options, names, str(tmp_path))
        assert found is not None
        assert [name for one in json.loads(found.profile)["syscalls"] for name in one["names"]] == calls
        assert rights.seccomp(options, names, str(tmp_path)) == found
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("text", ["{", "[]", '{"syscalls": []}', '{"defaultAction": "x", "syscalls": [{}]}'])
def test_a_malformed_profile_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(ProfileUnavailable, match="malformed"):
        rights.seccomp(wanted(SecurityOpt=[f"seccomp={text}"]), (), str(tmp_path))


def test_a_device_gets_its_rule() -> None:
    mapping = {"PathOnHost": "/dev/full", "PathInContainer": "/dev/x", "CgroupPermissions": "rw"}
    linux = written(Devices=[mapping], DeviceCgroupRules=["c 10:* r"])["linux"]
    (device,) = linux["devices"]
    assert (device["path"], device["type"], device["major"], device["minor"]) == ("/dev/x", "c", 1, 7)
    assert linux["resources"]["devices"][-2:] == [
        {"allow": True, "type": "c", "major": 1, "minor": 7, "access": "rw"},
        {"allow": True, "type": "c", "access": "r", "major": 10},
    ]
    assert linux["resources"]["devices"][0] == {"allow": False, "access": "rwm"}


def test_a_device_must_be_one() -> None:
    for path in ("/dev/nosuch", "/etc/passwd"):
        with pytest.raises(InvalidSetting, match=f'while adding custom device "{path}"'):
            written(Devices=[{"PathOnHost": path}])


def test_a_privileged_container_has_the_hosts_devices_and_may_write_to_sys() -> None:
    result = written(Privileged=True)
    assert "/dev/null" in [device["path"] for device in result["linux"]["devices"]]
    assert result["linux"]["resources"]["devices"] == [{"allow": True, "access": "rwm"}]
    assert all("ro" not in mount["options"] for mount in result["mounts"])


def test_graphics_processors_are_refused_as_docker_without_a_driver_does() -> None:
    with pytest.raises(InvalidSetting, match=r'could not select device driver "" with capabilities: \[\[gpu\]\]'):
        written(DeviceRequests=[{"Driver": "", "Count": -1, "Capabilities": [["gpu"]]}])

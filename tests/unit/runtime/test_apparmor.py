"""Which AppArmor profile a container gets, on a kernel whose files and whose parser are made up."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from lamina import Engine
from lamina.configuration import Configuration
from lamina.container import defaults, execution, specification
from lamina.container.record import Container
from lamina.container.rundirectory import RunDirectory
from lamina.container.specification import Prepared
from lamina.linux import process, userns
from lamina.oci.runtime import User
from lamina.runtime import apparmor
from lamina.runtime.apparmor import DEFAULT, ProfileNotLoadable
from lamina.runtime.program import NOT_EXECUTABLE, NOT_FOUND, RuntimeFailed
from lamina.view.system import ContainerCounts, info


class Kernel:
    """Its files below ``home``, and ``bin`` for a parser."""

    def __init__(self, home: Path) -> None:
        self.enabled = home / "enabled"
        self.files = home / "apparmor"
        self.loaded = self.files / "profiles"
        self.bin = home / "bin"
        self.given = home / "given"
        self.calls = home / "calls"
        self.files.mkdir()
        self.bin.mkdir()
        self.enabled.write_text("Y\n")
        self.load("other", "docker-default-of-mine")

    def load(self, *names: str) -> None:
        self.loaded.write_text("".join(f"{name} (enforce)\n" for name in names))

    def install_parser(self, script: str = "") -> None:
        """One that loads Docker's profile and notes how it was called, or does what ``script`` says."""
        parser = self.bin / "apparmor_parser"
        note = f'echo "$@" >> {self.calls}; cat > {self.given}; echo "{DEFAULT} (enforce)" >> {self.loaded}'
        parser.write_text(f"#!/bin/sh\n{script or note}\n")
        parser.chmod(0o755)


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    made = Kernel(tmp_path)
    monkeypatch.setattr(process, "_APPARMOR_ENABLED", str(made.enabled))
    monkeypatch.setattr(process, "_APPARMOR", str(made.files))
    monkeypatch.setattr(apparmor, "LOADED", str(made.loaded))
    monkeypatch.setattr(apparmor, "SEARCH", (str(tmp_path / "nowhere"), str(made.bin)))
    monkeypatch.setattr(userns, "is_initial", lambda: True)
    return made


def profile(**members: Any) -> str:
    return specification.apparmor_profile(defaults.host_config(members, cgroup_namespace="host"))


def test_the_default_profile_is_loaded_by_the_first_container_that_needs_it(kernel: Kernel) -> None:
    kernel.install_parser()
    assert [profile(), profile(), profile(SecurityOpt=["apparmor=docker-default"])] == [DEFAULT] * 3
    assert kernel.calls.read_text() == "-Kr\n"
    assert kernel.given.read_text() == apparmor.default_profile()


def test_it_is_loaded_again_when_it_has_gone_while_a_container_runs(kernel: Kernel) -> None:
    kernel.install_parser()
    profile()
    kernel.load("other")
    assert apparmor.ensure(DEFAULT)
    assert kernel.calls.read_text() == "-Kr\n-Kr\n"


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"SecurityOpt": ["apparmor=other"]}, "other"),
        ({"SecurityOpt": ["apparmor:other"]}, "other"),
        ({"SecurityOpt": ["apparmor=unconfined"]}, "unconfined"),
        ({"SecurityOpt": ["apparmor=:inner:one"]}, ":inner:one"),
        ({"Privileged": True}, "unconfined"),
        ({"Privileged": True, "SecurityOpt": ["apparmor=other"]}, "other"),
    ],
)
def test_what_was_asked_for_is_used_and_nothing_loaded(kernel: Kernel, members: dict[str, Any], expected: str) -> None:
    kernel.install_parser()
    assert profile(**members) == expected
    assert not kernel.calls.exists()


@pytest.mark.parametrize("name", ["missing", "othe", "other (enforce)"])
def test_a_profile_that_is_not_loaded_fails_the_start_in_dockers_words(kernel: Kernel, name: str) -> None:
    with pytest.raises(RuntimeFailed) as caught:
        profile(SecurityOpt=[f"apparmor={name}"])
    assert "apparmor failed to apply profile: write /proc/self/attr/apparmor/exec: no such file" in str(caught.value)
    assert f"the profile {name} is not loaded" in str(caught.value)
    assert caught.value.code == NOT_FOUND


def test_without_a_parser_containers_go_without_and_info_warns(kernel: Kernel) -> None:
    assert profile() == ""
    assert apparmor.information() == (
        True,
        ["WARNING: AppArmor is on, but apparmor_parser is not installed: containers start without docker-default"],
    )
    with pytest.raises(RuntimeFailed, match="docker-default is not loaded"):
        profile(SecurityOpt=["apparmor=docker-default"])


def test_without_a_parser_a_profile_that_somebody_else_loaded_is_used(kernel: Kernel) -> None:
    kernel.load("other", DEFAULT)
    assert profile() == DEFAULT
    assert apparmor.information() == (True, [])


def test_a_parser_that_fails_fails_the_start_with_what_it_said(kernel: Kernel) -> None:
    kernel.install_parser("echo no rights >&2; exit 1")
    with pytest.raises(ProfileNotLoadable) as caught:
        profile()
    assert str(caught.value) == (
        "AppArmor enabled on system but the docker-default profile could not be loaded: "
        f"running `{kernel.bin}/apparmor_parser -Kr` failed with output: no rights"
    )


def test_a_kernel_that_does_not_tell_fails_the_start_and_info_says_so(kernel: Kernel) -> None:
    kernel.install_parser()
    kernel.loaded.unlink()
    message = "Could not check if docker-default AppArmor profile was loaded: "
    with pytest.raises(ProfileNotLoadable, match=message):
        profile()
    kernel.bin.joinpath("apparmor_parser").unlink()
    assert apparmor.information() == (
        False,
        [f"WARNING: {message}open {kernel.loaded}: no such file or directory"],
    )


@pytest.mark.parametrize("lacking", ["module", "switched off", "files", "rights"])
def test_elsewhere_containers_have_no_profile_whatever_they_ask_for(
    kernel: Kernel, lacking: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel.install_parser()
    if lacking == "module":
        kernel.enabled.unlink()
    elif lacking == "switched off":
        kernel.enabled.write_text("N\n")
    elif lacking == "files":
        monkeypatch.setattr(process, "_APPARMOR", str(kernel.files / "not mounted"))
    else:  # rootless
        monkeypatch.setattr(userns, "is_initial", lambda: False)
    assert [profile(), profile(Privileged=True), profile(SecurityOpt=["apparmor=other"])] == ["", "", ""]
    assert apparmor.information() == (False, [])
    assert not kernel.calls.exists()


def test_the_runtime_is_told(kernel: Kernel) -> None:
    config = {"Hostname": "h", "WorkingDir": "", "Env": [], "Tty": False}
    document = {"ID": "1" * 64, "Path": "true", "Args": [], "Config": config, "MountPoints": {}}
    document.update(dict.fromkeys(("ResolvConfPath", "HostnamePath", "HostsPath"), "/etc/hosts"))
    container = Container(document, defaults.host_config({"ShmSize": 1 << 26}, cgroup_namespace="host"))
    prepared = Prepared("/merged", User(0, 0, (0,)))
    confined = json.loads(specification.encode(container, prepared._replace(apparmor="other")))
    assert confined["process"]["apparmorProfile"] == "other"
    assert "apparmorProfile" not in json.loads(specification.encode(container, prepared))["process"]


def test_exec_runs_under_the_containers_profile_which_must_still_be_loaded(kernel: Kernel, tmp_path: Path) -> None:
    described = {"cwd": "/", "env": [], "apparmorProfile": "other"}
    (tmp_path / "config.json").write_text(json.dumps({"process": described}))
    container = Container({"ID": "1" * 64, "Config": {}, "State": {"Pid": os.getpid(), "Running": True}}, {})
    run = RunDirectory(str(tmp_path))
    request = execution.ExecRequest(("true",))
    assert execution._document(container, run, request)["apparmorProfile"] == "other"
    kernel.load()
    with pytest.raises(RuntimeFailed, match=r"^OCI runtime exec failed: .*the profile other is not loaded") as caught:
        execution._document(container, run, request)
    assert caught.value.code == NOT_EXECUTABLE


def test_the_profile_lets_this_program_signal_containers_when_it_is_confined(
    kernel: Kernel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    label = tmp_path / "current"
    monkeypatch.setattr(apparmor, "OWN_LABEL", str(label))
    assert "signal (receive) peer=unconfined,\n" in apparmor.default_profile()
    label.write_text("unconfined\n")
    alone = apparmor.default_profile()
    label.write_text("snap.lamina.engine (enforce)\n")
    confined = apparmor.default_profile()
    added = '  signal (receive) peer="snap.lamina.engine",\n'
    assert added in confined
    assert confined.replace(added, "") == alone


def test_info_lists_what_keeps_containers_from_the_host_in_dockers_order(
    kernel: Kernel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configuration = Configuration(default_cgroupns_mode="private")
    engine = Engine(str(tmp_path / "root"), storage_driver="vfs", configuration=configuration)

    def told() -> tuple[list[str], list[str] | None]:
        document = info(engine, ContainerCounts([]), {}, "runc")
        return document["SecurityOptions"], document["Warnings"]

    options, warnings = told()
    assert options == ["name=apparmor", "name=seccomp,profile=default", "name=cgroupns"]
    assert warnings is not None
    assert "apparmor_parser is not installed" in warnings[0]
    kernel.enabled.unlink()
    monkeypatch.setattr(userns, "is_initial", lambda: False)
    assert told() == (["name=seccomp,profile=default", "name=rootless", "name=cgroupns"], None)

"""``Config``: what the user says goes over what the image says."""

from __future__ import annotations

from typing import Any

import pytest

from lamina.container import configuring
from lamina.container.configuring import InvalidSetting
from lamina.errors import InvalidArgument

IMAGE = {
    "Env": ["PATH=/bin", "A=image"],
    "Cmd": ["image-cmd"],
    "Entrypoint": ["image-entry"],
    "User": "image-user",
    "WorkingDir": "/image",
    "Labels": {"a": "1", "b": "2"},
    "Volumes": {"/v": {}},
    "StopSignal": "SIGQUIT",
}


@pytest.mark.parametrize(
    ("wanted", "command"),
    [
        ({}, ["image-entry", "image-cmd"]),
        ({"Cmd": ["mine"]}, ["image-entry", "mine"]),
        ({"Entrypoint": ["other"]}, ["other"]),
        ({"Entrypoint": ["other"], "Cmd": ["mine"]}, ["other", "mine"]),
        ({"Entrypoint": [""], "Cmd": ["mine"]}, ["mine"]),
    ],
)
def test_entrypoint_and_command_combine_as_in_docker(wanted: dict[str, Any], command: list[str]) -> None:
    assert configuring.command(configuring.merge(wanted, IMAGE)) == command


def test_no_command_at_all_is_refused() -> None:
    with pytest.raises(InvalidSetting, match="No command specified"):
        configuring.command(configuring.merge({"Entrypoint": [""]}, IMAGE))


def test_the_users_variables_come_first_and_win() -> None:
    assert configuring.merge({"Env": ["A=mine", "B=2"]}, IMAGE)["Env"] == ["A=mine", "B=2", "PATH=/bin"]


def test_other_members_are_the_users_or_the_images() -> None:
    config = configuring.merge({"User": "me", "Labels": {"b": "mine"}}, IMAGE)
    assert (config["User"], config["WorkingDir"], config["StopSignal"]) == ("me", "/image", "SIGQUIT")
    assert config["Labels"] == {"a": "1", "b": "mine"}
    assert config["Volumes"] == {"/v": {}}


@pytest.mark.parametrize(
    "wanted",
    [
        {"Env": ["A=a\0B=b"]},
        {"Env": ["=b"]},
        {"Cmd": ["a\0b"]},
        {"User": "root\0x"},
        {"WorkingDir": "/a\0b"},
        {"WorkingDir": "relative"},
        {"Hostname": "a\0b"},
        {"Volumes": {"/a\0b": {}}},
        {"StopSignal": "SIGNONE"},
    ],
)
def test_what_the_runtime_would_read_differently_is_refused(wanted: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument):
        configuring.merge({"Cmd": ["true"], **wanted}, {})


def test_the_images_own_configuration_is_checked_too() -> None:
    with pytest.raises(InvalidArgument):
        configuring.merge({"Cmd": ["true"]}, {"Env": ["A=\0"]})

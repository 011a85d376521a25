"""Rarely used settings load their modules only when one is there."""

from __future__ import annotations

import resource
from typing import Any

import pytest

from lamina.container import defaults, processlimits, rare


def wanted(**members: Any) -> dict[str, Any]:
    return defaults.host_config(members, cgroup_namespace="host")


def test_an_ordinary_container_has_none() -> None:
    assert not list(rare._aspects(wanted()))
    assert not list(rare._aspects(wanted(IpcMode="private", Isolation="default", VolumeDriver="local")))


@pytest.mark.parametrize(
    ("members", "modules"),
    [
        ({"Memory": 1}, {"limits"}),
        ({"MemorySwappiness": 0}, {"limits"}),
        ({"PidMode": "host"}, {"sharing", "rights"}),
        ({"IpcMode": "shareable"}, {"sharing", "rights"}),
        ({"Init": True}, {"processlimits"}),
        ({"CapAdd": ["X"]}, {"rights"}),
    ],
)
def test_a_setting_has_its_module(members: dict[str, Any], modules: set[str]) -> None:
    names = {str(getattr(aspect, "__name__", "")).rpartition(".")[2] for aspect in rare._aspects(wanted(**members))}
    assert names == modules


def test_ulimits_are_cut_to_what_may_be_given() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    limits = [{"Name": "nofile", "Hard": hard + 1, "Soft": hard + 1}, {"Name": "core", "Hard": -1, "Soft": 0}]
    cut = processlimits.resource_limits(limits, raising=False)
    assert cut[0] == {"type": "RLIMIT_NOFILE", "hard": hard, "soft": hard}
    raised = processlimits.resource_limits(limits, raising=True)
    assert raised[0] == {"type": "RLIMIT_NOFILE", "hard": hard + 1, "soft": hard + 1}
    assert raised[1] == {"type": "RLIMIT_CORE", "hard": (1 << 64) - 1, "soft": 0}

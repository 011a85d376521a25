"""Limits, rights and namespaces."""

from __future__ import annotations

from typing import Any

from lamina.cli.command import Options
from lamina.cli.flags import Flag

FLAGS: tuple[Flag, ...] = ()


def config(options: Options) -> dict[str, Any]:
    return {}


def host_config(options: Options) -> dict[str, Any]:
    return {}

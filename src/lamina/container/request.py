"""What a new container is to be."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from lamina.typing import Any, NamedTuple


class CreateRequest(NamedTuple):
    """What ``POST /containers/create`` says.

    :ivar config: Docker's ``Config``; ``Image`` is what the user typed.
    :ivar host_config: Docker's ``HostConfig``; members may be missing.
    :ivar name: ``""`` for a random one.
    :ivar endpoints: Docker's ``NetworkingConfig.EndpointsConfig``.
    """

    config: Mapping[str, Any]
    host_config: Mapping[str, Any]
    name: str = ""
    endpoints: Mapping[str, Any] = MappingProxyType({})

"""Networks as the Engine API's documents (Docker 20.10)."""

from __future__ import annotations

from collections.abc import Sequence

from lamina.network.contract import Endpoint, Network
from lamina.typing import Any


def inspect(network: Network, endpoints: Sequence[Endpoint] = ()) -> dict[str, Any]:
    """``GET /networks/{id}``. ``endpoints`` are those of running containers."""
    return {
        "Name": network.name,
        "Id": network.id,
        "Created": network.created,
        "Scope": "local",
        "Driver": network.driver,
        "EnableIPv6": network.ipv6,
        "IPAM": {
            "Driver": network.ipam_driver,
            "Options": network.ipam_options,
            "Config": [pool.document() for pool in network.pools],
        },
        "Internal": network.internal,
        "Attachable": network.attachable,
        "Ingress": False,
        "ConfigFrom": {"Network": network.config_from},
        "ConfigOnly": network.config_only,
        "Containers": {endpoint.container: _endpoint(endpoint) for endpoint in endpoints},
        "Options": dict(sorted(network.options.items())),
        "Labels": dict(sorted(network.labels.items())),
    }


def _endpoint(endpoint: Endpoint) -> dict[str, Any]:
    return {
        "Name": endpoint.container_name,
        "EndpointID": endpoint.id,
        "MacAddress": endpoint.mac,
        "IPv4Address": f"{endpoint.address}/{endpoint.prefix}" if endpoint.address else "",
        "IPv6Address": f"{endpoint.address6}/{endpoint.prefix6}" if endpoint.address6 else "",
    }

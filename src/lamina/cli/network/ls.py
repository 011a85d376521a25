"""``lamina network ls``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from lamina.cli.command import NO_ARGUMENTS, Command, Context, Options
from lamina.cli.flags import check_filters, filters, switch, text
from lamina.cli.listing import Column, Listing
from lamina.errors import InvalidArgument
from lamina.network.contract import Network
from lamina.oci.labels import match
from lamina.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lamina.network.service import Networks

COMMAND = Command(
    usage="[OPTIONS]",
    summary="List networks",
    arguments=NO_ARGUMENTS,
    flags=(
        filters(help="Provide filter values (e.g. 'driver=bridge')"),
        text("format", "Pretty-print networks using a Go template"),
        switch("no-trunc", "Do not truncate the output"),
        switch("quiet", "Only display network IDs", short="q"),
    ),
)

_KNOWN = ("dangling", "driver", "id", "label", "name", "scope", "type")


def run(context: Context, options: Options) -> int:
    found = _wanted(context.engine().networks, options.filters())
    listing = _listing(truncate=not options.on("no-trunc"))
    template = options.text("format") or ("" if options.on("quiet") else context.preferred_format("networksFormat"))
    if options.on("quiet") and template in ("", "table"):
        listing.write_column(context.stdout, found, "ID")
    else:
        listing.write(context.stdout, found, template)
    return 0


def _wanted(networks: Networks, filters: Mapping[str, Sequence[str]]) -> list[Network]:
    check_filters(filters, _KNOWN)
    for kind in filters.get("type", ()):
        if kind not in ("builtin", "custom"):
            raise InvalidArgument(f"Invalid filter: 'type'='{kind}'")
    for value in filters.get("dangling", ()):
        if value not in ("true", "false", "1", "0"):
            raise InvalidArgument(
                f'invalid value for filter \'dangling\', must be "true" (or "1"), or "false" (or "0"): {value}'
            )
    return [network for network in networks.all() if _matches(networks, network, filters)]


def _matches(networks: Networks, network: Network, filters: Mapping[str, Sequence[str]]) -> bool:
    tests: dict[str, Callable[[str], bool]] = {
        "driver": lambda value: value == network.driver,
        "id": lambda value: value in network.id,
        "name": lambda value: value in network.name,
        "scope": lambda value: value == "local",
        "type": lambda value: (value == "builtin") == network.predefined,
    }
    for name, test in tests.items():
        values = filters.get(name)
        if values and not any(test(value) for value in values):
            return False
    dangling = filters.get("dangling")
    if dangling and (not network.predefined and not networks.endpoints(network)) != any(
        one in ("true", "1") for one in dangling
    ):
        return False
    return match(network.labels, filters)


def _listing(*, truncate: bool) -> Listing[Network]:
    return Listing(
        "*formatter.networkContext",
        (
            Column("CreatedAt", "CREATED AT", lambda network: network.created),
            Column("Driver", "DRIVER", lambda network: network.driver),
            Column("ID", "NETWORK ID", lambda network: network.id[:12] if truncate else network.id),
            Column("IPv6", "IPV6", lambda network: str(network.ipv6).lower()),
            Column("Internal", "INTERNAL", lambda network: str(network.internal).lower()),
            Column("Labels", "LABELS", lambda network: ",".join(f"{k}={v}" for k, v in network.labels.items())),
            Column("Name", "NAME", lambda network: network.name),
            Column("Scope", "SCOPE", lambda network: "local"),
        ),
        ("ID", "Name", "Driver", "Scope"),
    )

"""``lamina network create``."""

from __future__ import annotations

from lamina.cli.command import Command, CommandError, Context, Options, exactly
from lamina.cli.container.createflags.networking import NO_NAMES
from lamina.cli.flags import switch, text, texts
from lamina.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lamina.network.addresses import Subnet
    from lamina.network.contract import Pool

COMMAND = Command(
    usage="[OPTIONS] NETWORK",
    summary="Create a network",
    arguments=exactly(1),
    flags=(
        switch("attachable", "Enable manual container attachment"),
        texts(
            "aux-address",
            "Auxiliary IPv4 or IPv6 addresses used by Network driver",
            type_name="map",
            shown_default="map[]",
        ),
        text("config-from", "The network from which to copy the configuration"),
        switch("config-only", "Create a configuration only network"),
        text("driver", "Driver to manage the Network", short="d", default="bridge"),
        texts("gateway", "IPv4 or IPv6 Gateway for the master subnet", type_name="strings"),
        switch("ingress", "Create swarm routing-mesh network"),
        switch("internal", "Restrict external access to the network"),
        texts("ip-range", "Allocate container ip from a sub-range", type_name="strings"),
        text("ipam-driver", "IP Address Management Driver", default="default"),
        texts("ipam-opt", "Set IPAM driver specific options", type_name="map", shown_default="map[]"),
        switch("ipv6", "Enable IPv6 networking"),
        texts("label", "Set metadata on a network"),
        texts("opt", "Set driver specific options", short="o", type_name="map", shown_default="map[]"),
        text("scope", "Control the network's scope"),
        texts("subnet", "Subnet in CIDR format that represents a network segment", type_name="strings"),
    ),
)


def run(context: Context, options: Options) -> int:
    from lamina.network import naming
    from lamina.network.contract import Request

    network = context.engine().networks.create(
        Request(
            options.arguments[0],
            options.text("driver"),
            _pools(options),
            internal=options.on("internal"),
            ipv6=options.on("ipv6"),
            attachable=options.on("attachable"),
            options=_pairs(options.texts("opt")),
            labels=_pairs(options.texts("label")),
            ipam_driver=options.text("ipam-driver"),
            ipam_options=_pairs(options.texts("ipam-opt")),
            scope=options.text("scope"),
            ingress=options.on("ingress"),
            config_only=options.on("config-only"),
            config_from=options.text("config-from"),
        )
    )
    if not network.config_only and not naming.program():
        context.warn(f"WARNING: {NO_NAMES}")
    context.print(network.id)
    return 0


def _pairs(texts: list[str]) -> dict[str, str]:
    return {key: value for key, _, value in (text.partition("=") for text in texts)}


def _split(texts: list[str]) -> list[str]:
    return [part for text in texts for part in text.split(",") if part]


def _pools(options: Options) -> tuple[Pool, ...]:
    """Ranges, with what belongs to each. Raises :class:`CommandError` with docker's words."""
    from lamina.network.addresses import InvalidSubnet, Subnet, is_address, number, version
    from lamina.network.contract import Pool

    pools: dict[Subnet, Pool] = {}
    for subnet in _split(options.texts("subnet")):
        try:
            parsed = Subnet.parse(subnet)
        except InvalidSubnet as error:
            raise CommandError(f"Error response from daemon: Invalid subnet {subnet} : {error}") from None
        if any(parsed.overlaps(other) for other in pools):
            raise CommandError("multiple overlapping subnet configuration is not supported")
        pools[parsed] = Pool(subnet)
    reserved = _pairs(options.texts("aux-address"))
    if not pools and (options.texts("ip-range") or options.texts("gateway") or reserved):
        raise CommandError("every ip-range or gateway must have a corresponding subnet")

    def home(text: str, what: str) -> Subnet:
        address = text.partition("/")[0]
        if not is_address(address):
            raise CommandError(f"invalid {what} {text}")
        for subnet in pools:
            if subnet.version == version(address) and subnet.holds(number(address)):
                return subnet
        raise CommandError(f"no matching subnet for {what} {text}")

    for value in _split(options.texts("ip-range")):
        place = home(value, "range")
        if pools[place].range:
            raise _twice("range", value, pools[place].range, place)
        pools[place] = pools[place]._replace(range=value)
    for value in _split(options.texts("gateway")):
        place = home(value, "gateway")
        if pools[place].gateway:
            raise _twice("gateway", value, pools[place].gateway, place)
        pools[place] = pools[place]._replace(gateway=value)
    for name, address in reserved.items():
        place = home(address, "aux-address")
        pools[place] = pools[place]._replace(reserved={**pools[place].reserved, name: address})
    return tuple(pools.values())


def _twice(what: str, value: str, other: str, subnet: Subnet) -> CommandError:
    return CommandError(f"cannot configure multiple {what}s ({value}, {other}) on the same subnet ({subnet})")

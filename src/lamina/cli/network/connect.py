"""``lamina network connect``."""

from __future__ import annotations

from lamina.cli.command import Command, Context, Options, exactly
from lamina.cli.flags import text, texts
from lamina.typing import Any

COMMAND = Command(
    usage="[OPTIONS] NETWORK CONTAINER",
    summary="Connect a container to a network",
    arguments=exactly(2),
    flags=(
        texts("alias", "Add network-scoped alias for the container", type_name="strings"),
        texts("driver-opt", "driver options for the network", type_name="strings"),
        text("ip", "IPv4 address (e.g., 172.30.100.104)"),
        text("ip6", "IPv6 address (e.g., 2001:db8::33)"),
        texts("link", "Add link to another container"),
        texts("link-local-ip", "Add a link-local address for the container", type_name="strings"),
    ),
)


def run(context: Context, options: Options) -> int:
    from lamina.container import connecting

    network, name = options.arguments
    wanted: dict[str, Any] = {}
    addresses = {
        "IPv4Address": options.text("ip"),
        "IPv6Address": options.text("ip6"),
        "LinkLocalIPs": [word for value in options.texts("link-local-ip") for word in value.split(",")],
    }
    if any(addresses.values()):
        wanted["IPAMConfig"] = {key: value for key, value in addresses.items() if value}
    if options.texts("alias"):
        wanted["Aliases"] = [word for value in options.texts("alias") for word in value.split(",")]
    if options.texts("link"):
        wanted["Links"] = options.texts("link")
    if options.texts("driver-opt"):
        wanted["DriverOpts"] = {
            key: value for key, _, value in (one.partition("=") for one in options.texts("driver-opt"))
        }
    service = context.engine().container_service
    context.engine().networks.get(network)
    connecting.connect(service.parts, service.id_of(name), network, wanted)
    return 0

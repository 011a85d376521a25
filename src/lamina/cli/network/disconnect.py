"""``lamina network disconnect``."""

from __future__ import annotations

from lamina.cli.command import Command, Context, Options, exactly
from lamina.cli.flags import switch

COMMAND = Command(
    usage="[OPTIONS] NETWORK CONTAINER",
    summary="Disconnect a container from a network",
    arguments=exactly(2),
    flags=(switch("force", "Force the container to disconnect from a network", short="f"),),
)


def run(context: Context, options: Options) -> int:
    from lamina.container import connecting

    network, name = options.arguments
    service = context.engine().container_service
    if not options.on("force"):
        context.engine().networks.get(network)
    connecting.disconnect(service.parts, service.id_of(name), network, force=options.on("force"))
    return 0

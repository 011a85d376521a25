"""``lamina logout``."""

from __future__ import annotations

from lamina.cli.command import Command, Context, Options, at_most
from lamina.registry.credentials import DOCKER_HUB_KEY, DockerConfig

COMMAND = Command(
    usage="[SERVER]",
    summary="Log out from a Docker registry",
    description=("Log out from a Docker registry.\nIf no server is specified, the default is defined by the daemon."),
    arguments=at_most(1),
)


def run(context: Context, options: Options) -> int:
    from lamina.registry.login import logout, registry_of

    server = options.arguments[0] if options.arguments else ""
    name = DOCKER_HUB_KEY if server in ("", DOCKER_HUB_KEY) else registry_of(server)
    context.print(f"Removing login credentials for {name}")
    logout(DockerConfig(context.docker_config_dir), server)
    return 0

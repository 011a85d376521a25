"""``lamina port``."""

from __future__ import annotations

from lamina.cli.command import Command, CommandError, Context, Options, between
from lamina.errors import NotFound
from lamina.view import ports

COMMAND = Command(
    usage="CONTAINER [PRIVATE_PORT[/PROTO]]",
    summary="List port mappings or a specific mapping for the container",
    arguments=between(1, 2),
)


def run(context: Context, options: Options) -> int:
    name, *wanted = options.arguments
    try:
        container = context.engine().container_service.get(name)
    except NotFound as error:
        raise CommandError(f"Error: {error}") from None
    published = (container.document.get("NetworkSettings") or {}).get("Ports") or {}
    if not wanted:
        for line in ports.lines(published):
            context.print(line)
        return 0
    number, _, protocol = wanted[0].partition("/")
    if not (number.isascii() and number.isdecimal()):
        raise CommandError(f'strconv.ParseUint: parsing "{number}": invalid syntax')
    key = f"{number}/{protocol or 'tcp'}"
    if not published.get(key):
        raise CommandError(f"Error: No public port '{key}' published for {name}")
    for place in published[key]:
        context.print(f"{place['HostIp']}:{place['HostPort']}")
    return 0

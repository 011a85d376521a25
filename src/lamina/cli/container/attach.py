"""``lamina attach``."""

from __future__ import annotations

from lamina.cli.command import Command, CommandError, Context, Options, exactly
from lamina.cli.container.attaching import Manner, check_keys, check_terminal, relay
from lamina.cli.flags import switch, text
from lamina.errors import Conflict, NotFound

COMMAND = Command(
    usage="[OPTIONS] CONTAINER",
    summary="Attach local standard input, output, and error streams to a running container",
    arguments=exactly(1),
    flags=(
        text("detach-keys", "Override the key sequence for detaching a container"),
        switch("no-stdin", "Do not attach STDIN"),
        switch("sig-proxy", "Proxy all received signals to the process", default=True),
    ),
)


def run(context: Context, options: Options) -> int:
    service = context.engine().container_service
    try:
        container = service.get(options.arguments[0])
    except NotFound as error:
        raise CommandError(f"Error: {error}") from None
    state = container.state
    if not state["Running"]:
        raise CommandError("You cannot attach to a stopped container, start it first")
    if state["Paused"]:
        raise CommandError("You cannot attach to a paused container, unpause it first")
    if state["Restarting"]:
        raise CommandError("You cannot attach to a restarting container, wait until it is running")
    check_keys(options.text("detach-keys"))
    config = container.config
    config["AttachStdin"] = config["OpenStdin"] and not options.on("no-stdin")
    config["AttachStdout"] = config["AttachStderr"] = True
    check_terminal(context, stdin=config["AttachStdin"], terminal=config["Tty"])
    try:
        attachment = service.attach(container.id, stdin=config["AttachStdin"])
    except Conflict:  # it has ended since
        raise CommandError("You cannot attach to a stopped container, start it first") from None
    manner = Manner(options.on("sig-proxy") and not config["Tty"], options.text("detach-keys"), redraw=True)
    return relay(context, container, attachment, manner)

"""``lamina start``."""

from __future__ import annotations

from lamina.cli.command import Command, CommandError, Context, Options, at_least
from lamina.cli.flags import switch, text
from lamina.errors import LaminaError, NotFound

COMMAND = Command(
    usage="[OPTIONS] CONTAINER [CONTAINER...]",
    summary="Start one or more stopped containers",
    arguments=at_least(1),
    flags=(
        switch("attach", "Attach STDOUT/STDERR and forward signals", short="a"),
        text("detach-keys", "Override the key sequence for detaching a container"),
        switch("interactive", "Attach container's STDIN", short="i"),
    ),
)


def run(context: Context, options: Options) -> int:
    if options.on("attach") or options.on("interactive"):
        if len(options.arguments) > 1:
            raise CommandError("you cannot start and attach multiple containers at once")
        return _attached(context, options)
    service = context.engine().container_service
    failed = []
    for name in options.arguments:
        try:
            with service.standby() as standby:
                service.start(name, standby)
        except LaminaError as error:
            context.warn(f"Error response from daemon: {error}")
            failed.append(name)
        else:
            context.print(name)
            context.stdout.flush()
    if failed:
        raise CommandError(f"Error: failed to start containers: {', '.join(failed)}")
    return 0


def _attached(context: Context, options: Options) -> int:
    from lamina.cli.container import attaching

    service = context.engine().container_service
    attaching.check_keys(options.text("detach-keys"))
    try:
        container = service.get(options.arguments[0])
    except NotFound as error:
        raise CommandError(f"Error: {error}") from None
    container.config["AttachStdin"] = options.on("interactive") and container.config["OpenStdin"]
    container.config["AttachStdout"] = container.config["AttachStderr"] = True
    attaching.check_terminal(context, stdin=container.config["AttachStdin"], terminal=container.config["Tty"])
    attachment = service.start_attached(container.id)
    if attachment is None:
        attachment = service.attach(container.id, stdin=container.config["AttachStdin"])
    manner = attaching.Manner(not container.config["Tty"], options.text("detach-keys"), silent=True)
    return attaching.relay(context, container, attachment, manner)

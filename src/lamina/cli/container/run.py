"""``lamina run``."""

from __future__ import annotations

from lamina.cli.command import Command, CommandError, Context, Options, at_least
from lamina.cli.container import creating
from lamina.cli.flags import switch, text
from lamina.contextlib import suppress
from lamina.errors import LaminaError
from lamina.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lamina.container.record import Container

COMMAND = Command(
    usage="[OPTIONS] IMAGE [COMMAND] [ARG...]",
    summary="Run a command in a new container",
    arguments=at_least(1),
    interspersed=False,
    flags=(
        *creating.FLAGS,
        switch("detach", "Run container in background and print container ID", short="d"),
        text("detach-keys", "Override the key sequence for detaching a container"),
        switch("sig-proxy", "Proxy received signals to the process", default=True),
    ),
)


def run(context: Context, options: Options) -> int:
    detached = options.on("detach")
    if detached and options.texts("attach"):
        raise CommandError("Conflicting options: -a and -d")
    if options.text("detach-keys") or options.on("tty"):
        from lamina.cli.container import attaching

        attaching.check_keys(options.text("detach-keys"))
        if not detached:
            attaching.check_terminal(context, stdin=options.on("interactive"), terminal=options.on("tty"))
    request = creating.request(context, options, "run", detached=detached)
    service = context.engine().container_service
    with service.standby(str(request.host_config.get("NetworkMode") or "")) as standby:
        container = creating.create(context, options, request, "run")
        try:
            if detached:
                service.start(container.id, standby)
                context.print(container.id)
                return 0
            attachment = service.start_attached(container.id, standby)
            assert attachment is not None, "nobody else knows the container yet"
            from lamina.cli.container import attaching  # while the container begins

            manner = attaching.Manner(options.on("sig-proxy"), options.text("detach-keys"), silent=True)
            return attaching.relay(context, container, attachment, manner)
        except (LaminaError, OSError) as error:
            raise _start_failed(context, container, error) from error


def _start_failed(context: Context, container: Container, error: Exception) -> CommandError:
    from lamina.container.attachment import StartFailed

    if container.auto_remove:
        with suppress(LaminaError):
            context.engine().container_service.remove(container.id, force=True, volumes=True)
    code = error.code if isinstance(error, StartFailed) else creating.ENGINE_FAILED
    if code == creating.ENGINE_FAILED and "no such file or directory" in str(error):
        code = 127  # docker's client goes by the text too
    return creating.failure("run", f"Error response from daemon: {error}", code, show_help=False)

"""``lamina logs``."""

from __future__ import annotations

from lamina.cli.command import Command, CommandError, Context, Options, exactly
from lamina.cli.flags import switch, text
from lamina.cli.moments import moment
from lamina.errors import InvalidArgument, NotFound
from lamina.oci import timestamp

COMMAND = Command(
    usage="[OPTIONS] CONTAINER",
    summary="Fetch the logs of a container",
    arguments=exactly(1),
    flags=(
        switch("details", "Show extra details provided to logs"),
        switch("follow", "Follow log output", short="f"),
        text(
            "since",
            "Show logs since timestamp (e.g. 2013-01-02T13:23:37Z) or relative (e.g. 42m for 42 minutes)",
        ),
        text("tail", "Number of lines to show from the end of the logs", short="n", default="all"),
        switch("timestamps", "Show timestamps", short="t"),
        text(
            "until",
            "Show logs before a timestamp (e.g. 2013-01-02T13:23:37Z) or relative (e.g. 42m for 42 minutes)",
        ),
    ),
)


def run(context: Context, options: Options) -> int:
    from lamina.container.logs import LogRequest

    name = options.arguments[0]
    service = context.engine().container_service
    try:
        since = moment(options, "since") or 0
        until = moment(options, "until")
        container = service.get(name)
    except NotFound as error:
        raise CommandError(f"Error: {error}") from error
    except InvalidArgument as error:
        raise CommandError(str(error)) from error
    request = LogRequest(_tail(options.text("tail")), since, until, options.on("follow"))
    stdout, stderr = context.binary_stdout, context.stderr.buffer
    for entry in service.logs(container.id, request):
        line = entry.log
        if options.on("details"):
            line = f"{entry.details} {line}"
        if options.on("timestamps"):
            line = f"{timestamp.fixed_text(entry.time)} {line}"
        target = stdout if entry.stream == "stdout" or container.config["Tty"] else stderr
        target.write(line.encode("utf-8", "surrogateescape"))
        if request.follow:
            target.flush()
    stdout.flush()
    stderr.flush()
    return 0


def _tail(text: str) -> int | None:
    """Docker takes whatever is no number for ``all``."""
    return int(text) if text.isascii() and text.isdigit() else None

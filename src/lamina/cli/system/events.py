"""``lamina events``."""

from __future__ import annotations

from collections.abc import Callable

from lamina.cli.command import NO_ARGUMENTS, Command, CommandError, Context, Options
from lamina.cli.flags import filters, text
from lamina.errors import InvalidArgument
from lamina.oci import timestamp
from lamina.typing import Any

COMMAND = Command(
    usage="[OPTIONS]",
    summary="Get real time events from the server",
    arguments=NO_ARGUMENTS,
    flags=(
        filters(),
        text("format", "Format the output using the given Go template"),
        text("since", "Show all events created since timestamp"),
        text("until", "Stream events until this timestamp"),
    ),
)


def run(context: Context, options: Options) -> int:
    since, until = _moment(options.text("since")), _moment(options.text("until"))
    if since is not None and until is not None and since > until:
        texts = (_seconds(options.text(flag), value) for flag, value in (("since", since), ("until", until)))
        raise CommandError(
            "Error response from daemon: `since` time ({}) cannot be after `until` time ({})".format(*texts)
        )
    show = _template(options.text("format"))
    for event in context.engine().events(since=since, until=until, filters=options.filters()):
        context.print(show(event))
        context.stdout.flush()
    return 0


def _moment(text: str) -> int | None:
    try:
        return timestamp.moment(text) if text else None
    except InvalidArgument as error:
        raise CommandError(str(error)) from None


def _seconds(text: str, moment: int) -> str:
    """A moment as docker's client sends it: durations lose their fraction, what is a number stays."""
    if timestamp.duration(text) is not None and text != "0":
        return str(moment // timestamp.SECOND)
    return (
        text if text.replace(".", "").isdecimal() else f"{moment // timestamp.SECOND}.{moment % timestamp.SECOND:09d}"
    )


def _template(text: str) -> Callable[[dict[str, Any]], str]:
    if not text:
        return _line
    from lamina.cli.system.eventrecord import EventRecord
    from lamina.template import TemplateError, TemplateSyntaxError, parse

    try:
        template = parse(text)
    except TemplateSyntaxError as error:
        raise CommandError(f"Error parsing format: {error}", 64) from None

    def show(event: dict[str, Any]) -> str:
        try:
            return template.execute(EventRecord(event))
        except TemplateError as error:
            raise CommandError(f"Error parsing format: {error}", 64) from None

    return show


def _line(event: dict[str, Any]) -> str:
    actor = event["Actor"]
    attributes = ", ".join(f"{name}={value}" for name, value in sorted(actor["Attributes"].items()))
    shown = f"{event['Type']} {event['Action']} {actor['ID']}" + (f" ({attributes})" if attributes else "")
    return f"{timestamp.fixed_text(event['timeNano'])} {shown}"

"""``lamina events``."""

from __future__ import annotations

from collections.abc import Callable

from lamina.cli.command import NO_ARGUMENTS, Command, Context, Options
from lamina.cli.flags import filters, text
from lamina.cli.moments import moment
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
    from lamina.container import events

    since, until = moment(options, "since"), moment(options, "until")
    wanted = options.filters()
    show = _template(options.text("format"))
    for event in events.read(context.engine().root, since=since, until=until, stopped=lambda: False):
        if _matches(event, wanted):
            context.print(show(event))
            context.stdout.flush()
    return 0


def _template(text: str) -> Callable[[dict[str, Any]], str]:
    if not text:
        return _line
    from lamina.template import parse

    return parse(text).execute


def _line(event: dict[str, Any]) -> str:
    actor = event["Actor"]
    attributes = ", ".join(f"{name}={value}" for name, value in sorted(actor["Attributes"].items()))
    shown = f"{event['Type']} {event['Action']} {actor['ID']}" + (f" ({attributes})" if attributes else "")
    return f"{timestamp.fixed_text(event['timeNano'])} {shown}"


def _matches(event: dict[str, Any], wanted: dict[str, list[str]]) -> bool:
    actor = event["Actor"]
    attributes = actor["Attributes"]

    def label(value: str) -> bool:
        name, equals, text = value.partition("=")
        return name in attributes and (not equals or attributes[name] == text)

    tests = {
        "container": lambda value: (
            event["Type"] == "container"
            and (actor["ID"].startswith(value) or attributes.get("name") == value.removeprefix("/"))
        ),
        "volume": lambda value: event["Type"] == "volume" and actor["ID"] == value,
        "network": lambda value: (
            event["Type"] == "network" and (actor["ID"].startswith(value) or attributes.get("name") == value)
        ),
        "event": lambda value: value in (event["Action"], event["Action"].partition(":")[0]),
        "type": lambda value: event["Type"] == value,
        "image": lambda value: (
            {value, f"{value}:latest"} & {attributes.get("image"), actor["ID"], attributes.get("name")}
            and event["Type"] in ("container", "image")
        ),
        "label": label,
        "scope": lambda value: event["scope"] == value,
    }
    # Docker takes no notice of filters that it does not know.
    return all(any(map(tests[name], values)) for name, values in wanted.items() if name in tests)

"""What a log entry says of its container: the options ``labels``, ``env``, ``labels-regex``, ``env-regex``, ``tag``."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from lamina.container.record import Container
from lamina.errors import InvalidArgument

DEFAULT_TAG = "{{.ID}}"
#: What messages call a tag.
_TEMPLATE_NAME = "log-tag"
#: Go's words for Python's, of what people get wrong.
_GO_WORDS = {
    "missing ), unterminated subpattern": "missing closing )",
    "unbalanced parenthesis": "unexpected )",
    "unterminated character set": "missing closing ]",
    "nothing to repeat": "missing argument to repetition operator",
    "multiple repeat": "invalid nested repetition operator",
}


class InvalidAttribute(InvalidArgument):
    """A template or a regular expression that is none."""


def attributes(
    container: Container, options: Mapping[str, str], name: Callable[[str], str] = lambda name: name
) -> dict[str, str]:
    """Labels and variables that the options name. Raises :class:`InvalidAttribute`.

    :param name: makes the attribute's name of the label's or variable's.
    """
    labels = container.config.get("Labels") or {}
    variables = dict(entry.partition("=")[::2] for entry in container.config.get("Env") or () if "=" in entry)
    found: dict[str, str] = {}
    for values, option in ((labels, "labels"), (variables, "env")):
        named = options.get(option, "").split(",")
        found |= {name(each): values[each] for each in named if each in values}
        if expression := options.get(f"{option}-regex"):
            matches = _matcher(expression)
            found |= {name(each): value for each, value in values.items() if matches(each)}
    return found


def _matcher(expression: str) -> Callable[[str], object]:
    import re  # few logs need it

    try:
        return re.compile(expression).search
    except re.error as error:
        words = _GO_WORDS.get(error.msg, error.msg)
        place = error.pos if error.msg == "unterminated character set" else 0
        raise InvalidAttribute(f"error parsing regexp: {words}: `{expression[place:]}`") from None


def tag(container: Container, options: Mapping[str, str], default: str, log_path: str) -> str:
    """The option ``tag``, a template of Go's, executed over what Docker tells its log drivers.

    Raises :class:`InvalidAttribute` with Go's message.

    :param log_path: of the log that ``logs`` reads, where the driver has one.
    """
    template = options.get("tag") or default
    if template == DEFAULT_TAG:
        return container.id[:12]
    from lamina.template import GoTime, Record, TemplateError, TemplateSyntaxError, TextMap, parse  # few logs need it

    image = str(container.config.get("Image") or "")
    command = container.command
    labels = container.config.get("Labels") or {}
    # Docker's `logger.Info`: its members, in their order.
    fields: dict[str, Callable[[], object]] = {
        "Config": lambda: TextMap(sorted(options.items())),
        "ContainerID": lambda: container.id,
        "ContainerName": lambda: f"/{container.name}",
        "ContainerEntrypoint": lambda: command[0] if command else "",
        "ContainerArgs": lambda: list(command[1:]),
        "ContainerImageID": lambda: container.image_id,
        "ContainerImageName": lambda: image,
        "ContainerCreated": lambda: GoTime(container.document.get("Created") or ""),
        "ContainerEnv": lambda: list(container.config.get("Env") or ()),
        "ContainerLabels": lambda: TextMap(sorted(labels.items())),
        "LogPath": lambda: log_path,
        "DaemonName": lambda: "docker",
    }
    # And its methods.
    methods: dict[str, Callable[[], object]] = {
        "Command": lambda: " ".join(command),
        "FullID": lambda: container.id,
        "Hostname": lambda: os.uname().nodename,
        "ID": lambda: container.id[:12],
        "ImageFullID": lambda: container.image_id,
        "ImageID": lambda: container.image_id[:12],
        "ImageName": lambda: image,
        "Name": lambda: container.name,
    }
    info = Record(fields | methods, "*logger.Info", fields=tuple(fields))
    try:
        return parse(template, _TEMPLATE_NAME).execute(info)
    except (TemplateError, TemplateSyntaxError) as error:
        raise InvalidAttribute(str(error)) from None

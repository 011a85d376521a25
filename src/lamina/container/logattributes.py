"""What a log entry says of its container: the options ``labels``, ``env``, ``labels-regex``, ``env-regex``, ``tag``."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from lamina.container.record import Container
from lamina.errors import InvalidArgument

DEFAULT_TAG = "{{.ID}}"


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
        raise InvalidAttribute(f"error parsing regexp: {error}: `{expression}`") from None


def tag(container: Container, options: Mapping[str, str], default: str) -> str:
    """The option ``tag`` with its fields filled in; other parts of Go's templates are refused.

    Raises :class:`InvalidAttribute`.
    """
    template = options.get("tag") or default
    filled, rest = "", template
    while "{{" in rest:
        before, _, behind = rest.partition("{{")
        action, end, rest = behind.partition("}}")
        value = _field(container, action.strip(" -")) if end else None
        if value is None:
            position = template.find(action) if action else 2
            raise InvalidAttribute(
                f'template: log-tag:1:{position}: executing "log-tag" at <{action.strip()}>: '
                f"can't evaluate field {action.strip().removeprefix('.')} in type *logger.Info"
            )
        filled += before + value
    return filled + rest


def _field(container: Container, action: str) -> str | None:
    fields: dict[str, Callable[[], str]] = {
        ".ID": lambda: container.id[:12],
        ".FullID": lambda: container.id,
        ".Name": lambda: container.name,
        ".ContainerID": lambda: container.id,
        ".ContainerName": lambda: f"/{container.name}",
        ".ImageID": lambda: container.image_id.removeprefix("sha256:")[:12],
        ".ImageFullID": lambda: container.image_id,
        ".ImageName": lambda: str(container.config.get("Image") or ""),
        ".ContainerImageName": lambda: str(container.config.get("Image") or ""),
        ".Command": lambda: " ".join(container.command),
        ".DaemonName": lambda: "docker",
    }
    return fields[action]() if action in fields else None

"""What all ``inspect`` verbs share: documents by name, as JSON or through ``--format``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from lamina.cli.command import CommandError, Context
from lamina.errors import LaminaError
from lamina.typing import Any, ClassVar

#: Finds one object's document. Raises :class:`CommandError` with the line to print, or an engine's error.
Find = Callable[[str], dict[str, Any]]


class _Inspected(dict[str, Any]):
    """A document whose ``Id`` templates may call ``ID``, as Go's structures do."""

    def __contains__(self, name: object) -> bool:
        return dict.__contains__(self, name) or (name == "ID" and dict.__contains__(self, "Id"))

    def __missing__(self, name: str) -> Any:
        return self["Id"]


def inspect(context: Context, names: Sequence[str], find: Find, template: str) -> int:
    """Print the documents of ``names``; then complain about the names that mean nothing. The exit code."""
    documents: list[dict[str, Any]] = []
    complaints: list[str] = []
    for name in names:
        try:
            documents.append(find(name))
        except CommandError as error:
            complaints.append(error.text)
        except LaminaError as error:
            complaints.append(f"Error response from daemon: {error}")
    if template and template != "json":
        _print_through(context, documents, template)
    elif template == "json":
        from lamina.template.values import to_json

        context.print(to_json(documents))
    else:
        from lamina import json

        context.print(json.dumps(documents, indent=4, ensure_ascii=False))
    if complaints:
        raise CommandError("\n".join(complaints))
    return 0


def _print_through(context: Context, documents: Sequence[dict[str, Any]], source: str) -> None:
    from lamina.template import TemplateError, TemplateSyntaxError, parse

    try:
        template = parse(source)
    except TemplateSyntaxError as error:
        raise CommandError(f"template parsing error: {error}", 64) from None
    try:
        for document in documents:
            context.print(template.execute(_Inspected(_typed(document))))
    except TemplateError as error:
        context.print()
        raise CommandError(f"template parsing error: {error}") from None


class _Config(dict[str, Any]):
    """A container configuration whose members that JSON leaves out have Go's zero value in templates."""

    _ZERO: ClassVar[dict[str, Any]] = {
        "ArgsEscaped": False,
        "ExposedPorts": None,
        "Healthcheck": None,
        "MacAddress": "",
        "NetworkDisabled": False,
        "Shell": None,
        "StopSignal": "",
        "StopTimeout": None,
    }

    def __contains__(self, name: object) -> bool:
        return dict.__contains__(self, name) or name in self._ZERO

    def __missing__(self, name: str) -> Any:
        return self._ZERO[name]


def _typed(document: Mapping[str, Any]) -> dict[str, Any]:
    """The document with what Go's types add to JSON: zero values, and the one time that is no string."""
    from lamina.template import GoTime

    out = dict(document)
    for name in ("Config", "ContainerConfig"):
        if isinstance(out.get(name), dict):
            out[name] = _Config(out[name])
    metadata = out.get("Metadata")
    if isinstance(metadata, dict) and "LastTagTime" in metadata:
        out["Metadata"] = {**metadata, "LastTagTime": GoTime(metadata["LastTagTime"])}
    return out

"""What all ``inspect`` verbs share: documents by name, as JSON or through ``--format``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lamina.cli.command import CommandError, Context
from lamina.errors import LaminaError

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
        from lamina.cli.template.values import to_json

        context.print(to_json(documents))
    else:
        import json

        context.print(json.dumps(documents, indent=4, ensure_ascii=False))
    if complaints:
        raise CommandError("\n".join(complaints))
    return 0


def _print_through(context: Context, documents: Sequence[dict[str, Any]], source: str) -> None:
    from lamina.cli.template import TemplateError, TemplateSyntaxError, parse

    try:
        template = parse(source)
    except TemplateSyntaxError as error:
        raise CommandError(f"template parsing error: {error}", 64) from None
    try:
        for document in documents:
            context.print(template.execute(_Inspected(_with_times(document))))
    except TemplateError as error:
        context.print()
        raise CommandError(f"template parsing error: {error}") from None


def _with_times(document: Mapping[str, Any]) -> dict[str, Any]:
    """The one member that is a ``time.Time`` in Go, where all other times are strings."""
    from lamina.cli.template import GoTime

    metadata = document.get("Metadata")
    if not isinstance(metadata, dict) or "LastTagTime" not in metadata:
        return dict(document)
    return {**document, "Metadata": {**metadata, "LastTagTime": GoTime(metadata["LastTagTime"])}}

"""What all ``inspect`` verbs share: documents by name, as JSON or through ``--format``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from lamina.cli.command import CommandError, Context
from lamina.errors import LaminaError
from lamina.typing import Any

#: Finds one object's document. Raises :class:`CommandError` with the line to print, or an engine's error.
Find = Callable[[str], dict[str, Any]]


#: Members that Docker's JSON leaves out when they say nothing, and Go's zero values of them; ``None`` is a nil. By the
#: member that they are in.
_CONFIG: dict[str, Any] = {
    "ArgsEscaped": False,
    "ExposedPorts": None,
    "Healthcheck": None,
    "MacAddress": "",
    "NetworkDisabled": False,
    "Shell": None,
    "StopSignal": "",
    "StopTimeout": None,
}
_LEFT_OUT: dict[str, dict[str, Any]] = {
    "Config": _CONFIG,
    "ContainerConfig": _CONFIG,
    "HostConfig": dict.fromkeys(("Init", "Mounts", "StorageOpt", "Sysctls", "Tmpfs")),
    "State": {"Health": None},
}
#: The same of a whole document, by a member that only documents of that kind have.
_LEFT_OUT_OF_KIND: dict[str, dict[str, Any]] = {
    "HostConfig": dict.fromkeys(("Node", "SizeRootFs", "SizeRw")),
    "IPAM": dict.fromkeys(("Peers", "Services")),
    "Mountpoint": dict.fromkeys(("Status", "UsageData")),
    "RepoTags": {"OsVersion": "", "Variant": ""},
}


class _Typed(dict[str, Any]):
    """A part of a document as Go's structures show it to templates: what JSON leaves out has its zero value, what is
    null is a nil pointer, list or map, and ``Id`` may be called ``ID``."""

    def __init__(self, members: Mapping[str, Any], left_out: Mapping[str, Any]) -> None:
        super().__init__(members)
        self._left_out = left_out

    def __contains__(self, name: object) -> bool:
        known = dict.__contains__(self, name) or name in self._left_out
        return known or (name == "ID" and dict.__contains__(self, "Id"))

    def __getitem__(self, name: str) -> Any:
        from lamina.template.values import NIL_POINTER, nil_of

        value = self.get(name, self._left_out.get(name)) if name != "ID" else self.get("ID", self.get("Id"))
        if value is not None:
            return value
        nil = nil_of(name)
        return NIL_POINTER if nil is None else nil


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
            try:
                text = template.execute(_typed(document))
            except TemplateError:  # as docker, look at the plain JSON then
                text = template.execute(document)
            context.print(text)
    except TemplateError as error:
        context.print()
        raise CommandError(f"template parsing error: {error}") from None


def _typed(document: Mapping[str, Any]) -> _Typed:
    """The document as Go's types have it, with the one time that is no string."""
    from lamina.template import GoTime

    left_out: dict[str, Any] = {}
    for member, names in _LEFT_OUT_OF_KIND.items():
        if member in document:
            left_out.update(names)
    out = _Typed(document, left_out)
    for name, names in _LEFT_OUT.items():
        if isinstance(document.get(name), dict):
            dict.__setitem__(out, name, _Typed(document[name], names))
    metadata = document.get("Metadata")
    if isinstance(metadata, dict) and "LastTagTime" in metadata:
        dict.__setitem__(out, "Metadata", {**metadata, "LastTagTime": GoTime(metadata["LastTagTime"])})
    return out

"""``lamina inspect``: whatever has that name."""

from __future__ import annotations

from collections.abc import Callable

from lamina.cli.command import Command, CommandError, Context, Options, at_least
from lamina.cli.flags import switch, text
from lamina.cli.inspecting import inspect
from lamina.errors import InvalidArgument, NotFound
from lamina.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lamina.engine import Engine

COMMAND = Command(
    usage="[OPTIONS] NAME|ID [NAME|ID...]",
    summary="Return low-level information on Docker objects",
    arguments=at_least(1),
    flags=(
        text("format", "Format the output using the given Go template", short="f"),
        switch("size", "Display total file sizes if the type is container", short="s"),
        text("type", "Return JSON for specified type"),
    ),
)

_KINDS = ("container", "image", "volume")
#: Kinds that docker has and lamina holds none of.
_EMPTY_KINDS = frozenset(("network", "node", "plugin", "secret", "service", "task"))


def run(context: Context, options: Options) -> int:
    engine = context.engine()
    wanted = options.text("type")
    if wanted and wanted not in _KINDS and wanted not in _EMPTY_KINDS:
        raise CommandError(f'"{wanted}" is not a valid value for --type')
    kinds = (wanted,) if wanted else _KINDS

    def find(name: str) -> dict[str, Any]:
        for kind in kinds:
            try:
                return _document(engine, kind, name, size=options.on("size"))
            except (NotFound, InvalidArgument):
                continue
        raise CommandError(f"Error: No such {wanted or 'object'}: {name}")

    return inspect(context, options.arguments, find, options.text("format"))


def _document(engine: Engine, kind: str, name: str, *, size: bool) -> dict[str, Any]:
    """The document of the ``kind`` that has this name. Raises ``NotFound`` or ``InvalidArgument``."""
    find: dict[str, Callable[[], dict[str, Any]]] = {
        "container": lambda: _container(engine, name, size=size),
        "image": lambda: _image(engine, name),
        "volume": lambda: _volume(engine, name),
    }
    if kind not in find:
        raise NotFound(f"No such {kind}: {name}")
    return find[kind]()


def _container(engine: Engine, name: str, *, size: bool) -> dict[str, Any]:
    from lamina.container.store import ContainerStore

    container_id = ContainerStore(engine.root).find(name)
    # Only now: whoever looks at an image has no need of what runs containers.
    from lamina.cli.container.inspect import container_document

    return container_document(engine, container_id, size=size)


def _image(engine: Engine, name: str) -> dict[str, Any]:
    from lamina.cli.image.inspect import image_document

    return image_document(engine, name)


def _volume(engine: Engine, name: str) -> dict[str, Any]:
    from lamina.view.volume import inspect as volume_document

    return volume_document(engine.volumes.get(name))

"""``lamina image inspect``."""

from __future__ import annotations

from lamina.cli.command import Command, CommandError, Context, Options, at_least
from lamina.cli.flags import text
from lamina.cli.inspecting import inspect
from lamina.errors import NotFound
from lamina.reference import InvalidReference
from lamina.typing import TYPE_CHECKING, Any
from lamina.view import image as view

if TYPE_CHECKING:
    from lamina.engine import Engine

COMMAND = Command(
    usage="[OPTIONS] IMAGE [IMAGE...]",
    summary="Display detailed information on one or more images",
    arguments=at_least(1),
    flags=(text("format", "Format the output using the given Go template", short="f"),),
)


def run(context: Context, options: Options) -> int:
    engine = context.engine()

    def find(name: str) -> dict[str, Any]:
        try:
            return image_document(engine, name)
        except NotFound:
            raise CommandError(f"Error: No such image: {name}") from None
        except InvalidReference as error:
            raise InvalidReference(name, f"no such image: {name}: {error}") from None

    return inspect(context, options.arguments, find, options.text("format"))


def image_document(engine: Engine, name: str) -> dict[str, Any]:
    """``GET /images/{name}/json``. Raises ``NotFound``."""
    store = engine.image_store
    image = store.resolve(name)
    stack = engine.layers.stack(image.config.chain_id)
    data = engine.driver.metadata(stack[-1].cache_id) if stack else None
    return view.inspect(image, store.references.of(image.id), store.size(image), (engine.driver.name, data))

"""``lamina volume create``."""

from __future__ import annotations

from lamina.cli.command import Command, Context, Options, at_most
from lamina.cli.flags import text, texts
from lamina.errors import NotFound

COMMAND = Command(
    usage="[OPTIONS] [VOLUME]",
    summary="Create a volume",
    arguments=at_most(1),
    flags=(
        text("driver", "Specify volume driver name", short="d", default="local"),
        texts("label", "Set metadata for a volume"),
        texts("opt", "Set driver specific options", short="o", type_name="map", shown_default="map[]"),
    ),
)


def run(context: Context, options: Options) -> int:
    name = options.arguments[0] if options.arguments else ""
    driver = options.text("driver")
    if driver != "local":
        raise NotFound(f'create {name}: error looking up volume plugin {driver}: plugin "{driver}" not found')
    engine = context.engine()
    volume, _ = engine.volumes.create(name, labels=_pairs(options.texts("label")), options=_pairs(options.texts("opt")))
    context.print(volume.name)
    return 0


def _pairs(texts: list[str]) -> dict[str, str]:
    return {key: value for key, _, value in (text.partition("=") for text in texts)}

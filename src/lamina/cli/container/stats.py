"""``lamina stats``."""

from __future__ import annotations

import io
import time
from collections.abc import Sequence

from lamina.cli.command import ANY_ARGUMENTS, Command, Context, Options
from lamina.cli.flags import switch, text
from lamina.cli.listing import Column, Listing
from lamina.cli.units import binary_size, human_size
from lamina.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lamina.container.record import Container
    from lamina.container.statistics import Statistics

COMMAND = Command(
    usage="[OPTIONS] [CONTAINER...]",
    summary="Display a live stream of container(s) resource usage statistics",
    arguments=ANY_ARGUMENTS,
    flags=(
        switch("all", "Show all containers (default shows just running)", short="a"),
        text("format", "Pretty-print images using a Go template"),
        switch("no-stream", "Disable streaming stats and only pull the first result"),
        switch("no-trunc", "Do not truncate output"),
    ),
)

_CLEAR = "\033[2J\033[H"


def run(context: Context, options: Options) -> int:
    from lamina.container.statistics import measure
    from lamina.errors import NotFound

    service = context.engine().container_service
    names = options.arguments
    template = options.text("format") or context.preferred_format("statsFormat")
    typed: dict[str, str] = {}

    def chosen() -> Sequence[Container]:
        if not names:
            return service.listed(all=options.on("all"))
        found = [service.get(name) for name in names]
        typed.update((container.id, name) for container, name in zip(found, names, strict=True))
        return found

    listing = _listing(typed, truncate=not options.on("no-trunc"))
    found = measure(chosen())
    if options.on("no-stream"):
        listing.write(context.stdout, found, template)
        return 0
    while True:
        picture = io.StringIO()
        listing.write(picture, found, template)
        context.stdout.write(_CLEAR + picture.getvalue())  # a whole picture at once, over the one before
        context.stdout.flush()
        time.sleep(1)
        try:
            found = measure(chosen(), {row.container.id: row.now for row in found})
        except NotFound:  # the last one that was named has been removed
            return 0


def _listing(typed: dict[str, str], *, truncate: bool) -> Listing[Statistics]:
    def shown_id(row: Statistics) -> str:
        return row.container.id[:12] if truncate else row.container.id

    columns: tuple[Column[Statistics], ...] = (
        Column("BlockIO", "BLOCK I/O", lambda row: _both(row.now.usage.read, row.now.usage.written)),
        Column("CPUPerc", "CPU %", lambda row: f"{row.processor_percent:.2f}%"),
        Column("Container", "CONTAINER", lambda row: typed.get(row.container.id, row.container.id[:12])),
        Column("ID", "CONTAINER ID", shown_id),
        Column("MemPerc", "MEM %", lambda row: f"{row.memory_percent:.2f}%"),
        Column("MemUsage", "MEM USAGE / LIMIT", _memory),
        Column("Name", "NAME", lambda row: row.container.name),
        Column("NetIO", "NET I/O", lambda row: _both(row.received, row.sent)),
        Column("PIDs", "PIDS", lambda row: str(row.now.usage.processes)),
    )
    shown = ("ID", "Name", "CPUPerc", "MemUsage", "MemPerc", "NetIO", "BlockIO", "PIDs")
    return Listing("*container.statsContext", columns, shown)


def _both(one: int, other: int) -> str:
    return f"{human_size(one, 3)} / {human_size(other, 3)}"


def _memory(row: Statistics) -> str:
    return f"{binary_size(row.memory)} / {binary_size(row.now.usage.limit)}"

"""``lamina ps`` and ``lamina container ls``."""

from __future__ import annotations

import time

from lamina.cli.command import NO_ARGUMENTS, Command, Context, Options
from lamina.cli.flags import filters, integer, switch, text
from lamina.cli.listing import Column, Listing
from lamina.cli.units import ago, ellipsis, human_size, local_time
from lamina.errors import Corrupt
from lamina.typing import TYPE_CHECKING, Any, NamedTuple
from lamina.view import container as view
from lamina.view import ports
from lamina.view.containerlist import select

if TYPE_CHECKING:
    from lamina.container.record import Container
    from lamina.container.service import ContainerService

COMMAND = Command(
    usage="[OPTIONS]",
    summary="List containers",
    arguments=NO_ARGUMENTS,
    flags=(
        switch("all", "Show all containers (default shows just running)", short="a"),
        filters(),
        text("format", "Pretty-print containers using a Go template"),
        integer("last", "Show n last created containers (includes all states)", short="n", default=-1),
        switch("latest", "Show the latest created container (includes all states)", short="l"),
        switch("no-trunc", "Don't truncate output"),
        switch("quiet", "Only display container IDs", short="q"),
        switch("size", "Display total file sizes", short="s"),
    ),
)

_COMMAND_WIDTH = 20
_MOUNT_WIDTH = 15


class Row(NamedTuple):
    """One line: the API's summary."""

    summary: dict[str, Any]


def run(context: Context, options: Options) -> int:
    engine = context.engine()
    service = engine.container_service
    template = options.text("format") or ("" if options.on("quiet") else context.preferred_format("psFormat"))
    last = 1 if options.on("latest") and not options.given("last") else options.integer("last")

    def ancestors(name: str) -> frozenset[str]:
        from lamina.errors import LaminaError

        try:
            return frozenset((str(engine.image_store.resolve(name).id),))
        except LaminaError:
            return frozenset()

    with_size = options.on("size") or ".Size" in template
    listing = container_listing(truncate=not options.on("no-trunc"), size=with_size)
    if "{{" in template:
        listing.check(template, "*formatter.ContainerContext")
    damaged: list[Corrupt] = []
    listed = service.listed(damaged=damaged)
    found = select(listed, options.filters(), all=options.on("all"), last=max(last, 0), ancestors=ancestors)
    now = time.time()
    rows = []
    # Shortened, names that containers have by links of others are not shown.
    names = service.link_names(service.listed()) if options.on("no-trunc") else {}
    for container in found:
        size = _sizes(service, container, damaged) if with_size else None
        rows.append(Row(view.summary(container, now, size, names.get(container.id, ()))))
    if options.on("quiet") and template in ("", "table"):
        listing.write_column(context.stdout, rows, "ID")
    else:
        listing.write(context.stdout, rows, template)
    if damaged and options.on("all"):
        context.stdout.flush()
        for error in damaged:
            context.warn(str(error))
    return 0


def _sizes(service: ContainerService, container: Container, damaged: list[Corrupt]) -> tuple[int, int]:
    """``SizeRw`` and ``SizeRootFs``; of a container that has lost its layers none, and the reason is noted."""
    try:
        return service.sizes(container)
    except Corrupt as error:
        damaged.append(error)
        return 0, 0


def container_listing(*, truncate: bool, size: bool) -> Listing[Row]:
    """The columns of a list of containers."""

    def shown_id(row: Row) -> str:
        return str(row.summary["Id"])[:12] if truncate else str(row.summary["Id"])

    def command(row: Row) -> str:
        line = row.summary["Command"]
        return f'"{ellipsis(line, _COMMAND_WIDTH) if truncate else line}"'

    def mounts(row: Row) -> str:
        names = [mount.get("Name") or mount["Source"] for mount in row.summary["Mounts"]]
        return ",".join(ellipsis(name, _MOUNT_WIDTH) if truncate else name for name in names)

    columns: tuple[Column[Row], ...] = (
        Column("ID", "CONTAINER ID", shown_id),
        Column("Image", "IMAGE", lambda row: row.summary["Image"]),
        Column("Command", "COMMAND", command),
        Column("CreatedAt", "CREATED AT", lambda row: local_time(row.summary["Created"])),
        Column("RunningFor", "CREATED", lambda row: ago(row.summary["Created"])),
        Column("Labels", "LABELS", lambda row: ",".join(f"{k}={v}" for k, v in row.summary["Labels"].items())),
        Column("LocalVolumes", "LOCAL VOLUMES", _local_volumes),
        Column("Mounts", "MOUNTS", mounts),
        Column("Names", "NAMES", lambda row: ",".join(_names(row, truncate=truncate))),
        Column("Networks", "NETWORKS", lambda row: ",".join(row.summary["NetworkSettings"]["Networks"])),
        Column("Ports", "PORTS", lambda row: ports.column(row.summary["Ports"])),
        Column("Size", "SIZE", _size),
        Column("State", "STATE", lambda row: row.summary["State"]),
        Column("Status", "STATUS", lambda row: row.summary["Status"]),
    )
    shown = ("ID", "Image", "Command", "RunningFor", "Status", "Ports", "Names", *(("Size",) if size else ()))
    return Listing("*formatter.containerContext", columns, shown, lambda row: row.summary["Labels"])


def _names(row: Row, *, truncate: bool) -> list[str]:
    names = [str(name).removeprefix("/") for name in row.summary["Names"]]
    return names[:1] if truncate else names


def _local_volumes(row: Row) -> str:
    return str(sum(mount.get("Driver") == "local" for mount in row.summary["Mounts"]))


def _size(row: Row) -> str:
    written, whole = row.summary.get("SizeRw", 0), row.summary.get("SizeRootFs", 0)
    shown = human_size(written, 3)
    return f"{shown} (virtual {human_size(whole, 3)})" if whole > 0 else shown

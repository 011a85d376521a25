"""``lamina system df``."""

from __future__ import annotations

from collections.abc import Sequence

from lamina.cli.command import NO_ARGUMENTS, Command, CommandError, Context, Options
from lamina.cli.flags import switch, text
from lamina.cli.image.ls import ImageRow, image_listing, image_rows
from lamina.cli.listing import Column, Listing
from lamina.cli.units import ago, human_size, short_id
from lamina.errors import Corrupt
from lamina.oci import timestamp
from lamina.typing import TYPE_CHECKING, Any, NamedTuple
from lamina.view.system import image_usage
from lamina.volume.usage import disk_usage

if TYPE_CHECKING:
    from lamina.builder.cachelist import CacheEntry
    from lamina.container.record import Container
    from lamina.container.service import ContainerService
    from lamina.engine import Engine

COMMAND = Command(
    usage="[OPTIONS]",
    summary="Show docker disk usage",
    arguments=NO_ARGUMENTS,
    flags=(
        text("format", "Pretty-print images using a Go template"),
        switch("verbose", "Show detailed information on space usage", short="v"),
    ),
)

_ACTIVE = ("paused", "restarting", "running")


class ContainerUsage(NamedTuple):
    """One container. ``size`` is that of its writable layer."""

    container: Container
    size: int

    @property
    def local_volumes(self) -> int:
        return sum(mount.get("Driver") == "local" for mount in self.container.mount_points.values())


class VolumeUsage(NamedTuple):
    """One volume. ``links`` counts the containers that have it."""

    name: str
    links: int
    size: int


class Kind(NamedTuple):
    """One line of the short table."""

    type: str
    total: int
    active: int
    size: int
    reclaimable: str


class Usage(NamedTuple):
    """Everything that the data root holds. ``cache_size``: bytes of the build cache, each layer once."""

    layers_size: int
    images: list[dict[str, Any]]
    containers: list[ContainerUsage]
    volumes: list[VolumeUsage]
    cached: Sequence[CacheEntry] = ()
    cache_size: int = 0


def run(context: Context, options: Options) -> int:
    usage = measure(context.engine())
    if options.on("verbose"):
        _print_verbose(context, usage, options.text("format"))
    else:
        _SHORT.write(context.stdout, _kinds(usage), options.text("format"))
    return 0


def measure(engine: Engine) -> Usage:
    """Look at everything; takes as long as walking through all volumes."""
    from lamina.builder.pruning import usage as build_cache_usage

    service = engine.container_service
    containers = [ContainerUsage(container, _written(service, container.id)) for container in service.listed()]
    layers_size, images = image_usage(engine, [usage.container.image_id for usage in containers])
    volumes = [
        VolumeUsage(volume.name, len(service.volume_users(volume.name)), disk_usage(volume.path))
        for volume in sorted(engine.volumes.all(), key=lambda volume: volume.name)
    ]
    return Usage(layers_size, images, containers, volumes, *build_cache_usage(engine.root))


def _written(service: ContainerService, container_id: str) -> int:
    """``SizeRw``; 0 of a container whose layer can't be told any more."""
    try:
        return service.size(container_id)
    except Corrupt:
        return 0


def _kinds(usage: Usage) -> list[Kind]:
    used = sum(image["VirtualSize"] - image["SharedSize"] for image in usage.images if image["Containers"])
    containers, volumes = usage.containers, usage.volumes
    idle = sum(one.size for one in containers if one.container.status not in _ACTIVE)
    return [
        Kind(
            "Images",
            len(usage.images),
            sum(bool(image["Containers"]) for image in usage.images),
            usage.layers_size,
            _share(usage.layers_size - used, usage.layers_size),
        ),
        Kind(
            "Containers",
            len(containers),
            sum(one.container.status in _ACTIVE for one in containers),
            (total := sum(one.size for one in containers)),
            _share(idle, total),
        ),
        Kind(
            "Local Volumes",
            len(volumes),
            sum(one.links > 0 for one in volumes),
            (total := sum(one.size for one in volumes)),
            _share(sum(one.size for one in volumes if not one.links), total),
        ),
        Kind("Build Cache", len(usage.cached), 0, usage.cache_size, human_size(usage.cache_size)),
    ]


def _share(part: int, whole: int) -> str:
    return f"{human_size(part)} ({part * 100 // whole}%)" if whole > 0 else human_size(part)


_SHORT: Listing[Kind] = Listing(
    "*formatter.diskUsageImagesContext",
    (
        Column("Type", "TYPE", lambda kind: kind.type),
        Column("TotalCount", "TOTAL", lambda kind: str(kind.total)),
        Column("Active", "ACTIVE", lambda kind: str(kind.active)),
        Column("Size", "SIZE", lambda kind: human_size(kind.size)),
        Column("Reclaimable", "RECLAIMABLE", lambda kind: kind.reclaimable),
    ),
    ("Type", "TotalCount", "Active", "Size", "Reclaimable"),
)
_CONTAINERS: Listing[ContainerUsage] = Listing(
    "*formatter.containerContext",
    (
        Column("ID", "CONTAINER ID", lambda one: short_id(one.container.id)),
        Column("Image", "IMAGE", lambda one: one.container.config.get("Image", "")),
        Column("Command", "COMMAND", lambda one: f'"{_command(one.container.command)}"'),
        Column("LocalVolumes", "LOCAL VOLUMES", lambda one: str(one.local_volumes)),
        Column("Size", "SIZE", lambda one: human_size(one.size, 3)),
        Column("RunningFor", "CREATED", lambda one: ago(timestamp.seconds(one.container.created))),
        Column("Status", "STATUS", lambda one: one.container.status.capitalize()),
        Column("Names", "NAMES", lambda one: one.container.name),
    ),
    ("ID", "Image", "Command", "LocalVolumes", "Size", "RunningFor", "Status", "Names"),
)
_VOLUMES: Listing[VolumeUsage] = Listing(
    "*formatter.volumeContext",
    (
        Column("Name", "VOLUME NAME", lambda one: one.name),
        Column("Links", "LINKS", lambda one: str(one.links)),
        Column("Size", "SIZE", lambda one: human_size(one.size)),
    ),
    ("Name", "Links", "Size"),
)
_BUILD_CACHE: Listing[CacheEntry] = Listing(
    "*formatter.buildCacheContext",
    (
        Column("ID", "CACHE ID", lambda one: one.id[:12]),
        Column("CacheType", "CACHE TYPE", lambda one: one.kind),
        Column("Size", "SIZE", lambda one: human_size(one.size, 3)),
        Column("CreatedSince", "CREATED", lambda one: ago(one.created)),
        Column("LastUsedSince", "LAST USED", lambda one: ago(one.used)),
        Column("UsageCount", "USAGE", lambda one: ""),
        Column("Shared", "SHARED", lambda one: "false"),
    ),
    ("ID", "CacheType", "Size", "CreatedSince", "LastUsedSince", "UsageCount", "Shared"),
)


def _command(words: Sequence[str]) -> str:
    from lamina.cli.units import ellipsis

    return ellipsis(" ".join(words), 20)


def _verbose_image_listing() -> Listing[ImageRow]:
    listing = image_listing(digests=False, truncate=True)
    columns = tuple(
        column._replace(text=lambda row: human_size(row.summary["VirtualSize"])) if column.name == "Size" else column
        for column in listing.columns
    )
    default = ("Repository", "Tag", "ID", "CreatedSince", "Size", "SharedSize", "UniqueSize", "Containers")
    return listing._replace(columns=columns, default=default)


def _print_verbose(context: Context, usage: Usage, template: str) -> None:
    images = [next(image_rows([image])) for image in usage.images]
    if template == "{{json .}}":
        template = "json"
    if template not in ("", "table", "json"):
        raise CommandError("--verbose can be formatted as json only")
    out = context.stdout
    if template == "json":
        _print_json(context, usage, images)
        return
    out.write("Images space usage:\n\n")
    _verbose_image_listing().write(out, images)
    out.write("\nContainers space usage:\n\n")
    _CONTAINERS.write(out, usage.containers)
    out.write("\nLocal Volumes space usage:\n\n")
    _VOLUMES.write(out, usage.volumes)
    out.write(f"\nBuild cache usage: {human_size(usage.cache_size)}\n\n")
    _BUILD_CACHE.write(out, usage.cached)


def _print_json(context: Context, usage: Usage, images: list[ImageRow]) -> None:
    from lamina.template.values import to_json

    image_columns = image_listing(digests=False, truncate=False).columns
    context.print(
        to_json(
            {
                "Images": [{column.name: column.text(row) for column in image_columns} for row in images],
                "Containers": [{c.name: c.text(row) for c in _CONTAINERS.columns} for row in usage.containers],
                "Volumes": [{c.name: c.text(row) for c in _VOLUMES.columns} for row in usage.volumes],
                "BuildCache": [{c.name: c.text(row) for c in _BUILD_CACHE.columns} for row in usage.cached],
            }
        )
    )

"""``lamina volume ls``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lamina.cli.command import NO_ARGUMENTS, Command, Context, Options
from lamina.cli.flags import check_filters, filters, switch, text
from lamina.cli.listing import Column, Listing
from lamina.oci.labels import match
from lamina.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lamina.engine import Engine
    from lamina.volume.store import Volume

COMMAND = Command(
    usage="[OPTIONS]",
    summary="List volumes",
    arguments=NO_ARGUMENTS,
    flags=(
        filters(help="Provide filter values (e.g. 'dangling=true')"),
        text("format", "Pretty-print volumes using a Go template"),
        switch("quiet", "Only display volume names", short="q"),
    ),
)

_KNOWN = ("dangling", "driver", "label", "name")


def run(context: Context, options: Options) -> int:
    volumes = _wanted(context.engine(), options.filters())
    template = options.text("format")
    if options.on("quiet") and template in ("", "table"):
        _LISTING.write_column(context.stdout, volumes, "Name")
    else:
        _LISTING.write(context.stdout, volumes, template)
    return 0


def _wanted(engine: Engine, filters: Mapping[str, Sequence[str]]) -> list[Volume]:
    check_filters(filters, _KNOWN)
    dangling = [value in ("true", "1") for value in filters.get("dangling", ())]
    found = []
    for volume in engine.volumes.all():
        if not any(name in volume.name for name in filters.get("name", ("",))):
            continue
        if not match(volume.labels or {}, filters) or "local" not in filters.get("driver", ("local",)):
            continue
        if dangling and (not engine.container_service.volume_users(volume.name)) != any(dangling):
            continue
        found.append(volume)
    return found


def _labels(volume: Volume) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted((volume.labels or {}).items()))


_LISTING: Listing[Volume] = Listing(
    "*formatter.volumeContext",
    (
        Column("Driver", "DRIVER", lambda _: "local"),
        Column("Labels", "LABELS", _labels),
        Column("Links", "LINKS", lambda _: "N/A"),
        Column("Mountpoint", "MOUNTPOINT", lambda volume: volume.path),
        Column("Name", "VOLUME NAME", lambda volume: volume.name),
        Column("Scope", "SCOPE", lambda _: "local"),
        Column("Size", "SIZE", lambda _: "N/A"),
    ),
    ("Driver", "Name"),
)

"""``lamina search``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lamina.cli.command import Command, Context, Options, exactly
from lamina.cli.flags import check_filters, filters, integer, parse_boolean, switch, text
from lamina.cli.listing import Column, Listing
from lamina.cli.units import ellipsis
from lamina.errors import InvalidArgument
from lamina.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lamina.registry.search import SearchResult

COMMAND = Command(
    usage="[OPTIONS] TERM",
    summary="Search the Docker Hub for images",
    arguments=exactly(1),
    flags=(
        filters(help="Filter output based on conditions provided"),
        text("format", "Pretty-print search using a Go template"),
        integer("limit", "Max number of search results", default=25),
        switch("no-trunc", "Don't truncate output"),
    ),
)

_KNOWN = ("is-official", "is-automated", "stars")
_DESCRIPTION_WIDTH = 45


def run(context: Context, options: Options) -> int:
    wanted = options.filters()
    check_filters(wanted, _KNOWN)
    conditions = _Conditions(wanted)
    found = context.engine().registry.search(options.arguments[0], options.integer("limit"))
    rows = sorted(filter(conditions.hold, found), key=lambda result: -result.stars)
    template = options.text("format")
    listing = _listing(truncate=not options.on("no-trunc"), words="json ." in template)
    listing.write(context.stdout, rows, template)
    return 0


class _Conditions:
    """What ``--filter`` asks for. Raises :class:`InvalidArgument` with Docker's message."""

    def __init__(self, wanted: Mapping[str, Sequence[str]]) -> None:
        self._official = _boolean(wanted, "is-official")
        self._automated = _boolean(wanted, "is-automated")
        self._stars = 0
        for value in wanted.get("stars", ()):
            if not value.removeprefix("-").isdecimal():
                raise InvalidArgument(f"Invalid filter 'stars={value}'")
            self._stars = max(self._stars, int(value))

    def hold(self, result: SearchResult) -> bool:
        return (
            self._official in (None, result.official)
            and self._automated in (None, result.automated)
            and result.stars >= self._stars
        )


def _boolean(wanted: Mapping[str, Sequence[str]], name: str) -> bool | None:
    values = wanted.get(name, ())
    try:
        return parse_boolean(values[0]) if values else None
    except ValueError:
        raise InvalidArgument(f"Invalid filter '{name}=[{' '.join(values)}]'") from None


def _listing(*, truncate: bool, words: bool) -> Listing[SearchResult]:
    """:param words: say ``true`` and ``false``, as docker does in JSON, where lists have ``[OK]``."""

    def mark(value: bool) -> str:
        if words:
            return "true" if value else "false"
        return "[OK]" if value else ""

    def description(result: SearchResult) -> str:
        return ellipsis(result.description, _DESCRIPTION_WIDTH) if truncate else result.description

    return Listing(
        "*registry.searchContext",
        (
            Column("Name", "NAME", lambda result: result.name),
            Column("Description", "DESCRIPTION", description),
            Column("StarCount", "STARS", lambda result: str(result.stars)),
            Column("IsOfficial", "OFFICIAL", lambda result: mark(result.official)),
            Column("IsAutomated", "AUTOMATED", lambda result: mark(result.automated)),
        ),
        ("Name", "Description", "StarCount", "IsOfficial", "IsAutomated"),
    )

"""``lamina history``."""

from __future__ import annotations

from lamina.cli.command import Command, Context, Options, exactly
from lamina.cli.flags import switch, text
from lamina.cli.listing import Column, Listing
from lamina.cli.units import ago, ellipsis, human_size, local_rfc3339, short_id
from lamina.oci import timestamp
from lamina.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lamina.image.history import HistoryRow

COMMAND = Command(
    usage="[OPTIONS] IMAGE",
    summary="Show the history of an image",
    arguments=exactly(1),
    flags=(
        text("format", "Pretty-print images using a Go template"),
        switch("human", "Print sizes and dates in human readable format", short="H", default=True),
        switch("no-trunc", "Don't truncate output"),
        switch("quiet", "Only show image IDs", short="q"),
    ),
)

_CREATED_BY_WIDTH = 45


def run(context: Context, options: Options) -> int:
    rows = context.engine().images.get(options.arguments[0]).history()
    listing = _listing(human=options.on("human"), truncate=not options.on("no-trunc"))
    template = options.text("format")
    if options.on("quiet") and template in ("", "table"):
        listing.write_column(context.stdout, rows, "ID")
    else:
        listing.write(context.stdout, rows, template)
    return 0


def _listing(*, human: bool, truncate: bool) -> Listing[HistoryRow]:
    def created_at(row: HistoryRow) -> str:
        return local_rfc3339(timestamp.seconds(row.created))

    def created_since(row: HistoryRow) -> str:
        return ago(timestamp.seconds(row.created)) if human else created_at(row)

    def created_by(row: HistoryRow) -> str:
        words = row.created_by.replace("\t", " ")
        return ellipsis(words, _CREATED_BY_WIDTH) if truncate else words

    columns: tuple[Column[HistoryRow], ...] = (
        Column("ID", "IMAGE", lambda row: short_id(row.id) if truncate else row.id),
        Column("CreatedSince", "CREATED" if human else "CREATED AT", created_since),
        Column("CreatedAt", "CREATED AT", created_at),
        Column("CreatedBy", "CREATED BY", created_by),
        Column("Size", "SIZE", lambda row: human_size(row.size, 3) if human else str(row.size)),
        Column("Comment", "COMMENT", lambda row: row.comment),
    )
    return Listing("*image.historyContext", columns, ("ID", "CreatedSince", "CreatedBy", "Size", "Comment"))

"""``lamina images`` and ``lamina image ls``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from time import time

from lamina.cli.command import Command, Context, Options, at_most
from lamina.cli.flags import filters, switch, text
from lamina.cli.listing import Column, Listing
from lamina.cli.units import ago, human_size, local_time, short_id
from lamina.typing import Any, NamedTuple
from lamina.view.image import NO_DIGEST, NO_TAG

COMMAND = Command(
    usage="[OPTIONS] [REPOSITORY[:TAG]]",
    summary="List images",
    arguments=at_most(1),
    flags=(
        switch("all", "Show all images (default hides intermediate images)", short="a"),
        switch("digests", "Show digests"),
        filters(),
        text("format", "Pretty-print images using a Go template"),
        switch("no-trunc", "Don't truncate output"),
        switch("quiet", "Only show image IDs", short="q"),
    ),
)

_NONE = "<none>"
_RAW = (
    "repository: {{.Repository}}\ntag: {{.Tag}}\n%simage_id: {{.ID}}\n"
    "created_at: {{.CreatedAt}}\nvirtual_size: {{.Size}}\n"
)


class ImageRow(NamedTuple):
    """One line: an image under one of its names."""

    summary: dict[str, Any]
    repository: str
    tag: str
    digest: str


def run(context: Context, options: Options) -> int:
    from lamina.view.imagelist import summaries

    wanted = options.filters()
    for pattern in options.arguments:
        wanted.setdefault("reference", []).append(pattern)
    documents = summaries(context.engine().image_store, wanted, all=options.on("all"))
    digests = options.on("digests")
    template = options.text("format") or ("" if options.on("quiet") else context.preferred_format("imagesFormat"))
    rows = image_rows(documents, digests=digests, tag_for_digest="{{.Digest}}" in template or template == "json")
    listing = image_listing(digests=digests, truncate=not options.on("no-trunc"))
    if options.on("quiet") and template in ("", "table", "raw"):
        if template == "raw":
            rows = (row for row in rows)
            listing.write(context.stdout, rows, "image_id: {{.ID}}")
        else:
            listing.write_column(context.stdout, rows, "ID")
    elif template == "raw":
        listing.write(context.stdout, rows, _RAW % ("digest: {{.Digest}}\n" if digests else ""))
    else:
        listing.write(context.stdout, rows, template)
    return 0


def image_listing(*, digests: bool, truncate: bool) -> Listing[ImageRow]:
    """The columns of a list of images."""

    now = time()

    def shown_id(row: ImageRow) -> str:
        return short_id(row.summary["Id"]) if truncate else str(row.summary["Id"])

    columns: tuple[Column[ImageRow], ...] = (
        Column("ID", "IMAGE ID", shown_id),
        Column("Repository", "REPOSITORY", lambda row: row.repository),
        Column("Tag", "TAG", lambda row: row.tag),
        Column("Digest", "DIGEST", lambda row: row.digest),
        Column("CreatedSince", "CREATED", lambda row: ago(row.summary["Created"], now)),
        Column("CreatedAt", "CREATED AT", lambda row: local_time(row.summary["Created"])),
        Column("Size", "SIZE", lambda row: human_size(row.summary["Size"], 3)),
        Column("Containers", "CONTAINERS", lambda row: _known(row.summary["Containers"], str)),
        Column("VirtualSize", "SIZE", lambda row: human_size(row.summary["VirtualSize"])),
        Column("SharedSize", "SHARED SIZE", lambda row: _known(row.summary["SharedSize"], human_size)),
        Column("UniqueSize", "UNIQUE SIZE", _unique_size),
    )
    digest = ("Digest",) if digests else ()
    default = ("Repository", "Tag", *digest, "ID", "CreatedSince", "Size")
    return Listing("*formatter.imageContext", columns, default)


def _known(value: int, text: Any) -> str:
    return "N/A" if value == -1 else str(text(value))


def _unique_size(row: ImageRow) -> str:
    if row.summary["SharedSize"] == -1:
        return "N/A"
    return human_size(row.summary["VirtualSize"] - row.summary["SharedSize"])


def image_rows(
    documents: Sequence[dict[str, Any]], *, digests: bool = False, tag_for_digest: bool = False
) -> Iterator[ImageRow]:
    """One row for each tag; for each digest too when they are shown or the template asks for them."""
    for document in documents:
        tags, its_digests = document["RepoTags"] or [], document["RepoDigests"] or []
        if tags == [NO_TAG] and its_digests == [NO_DIGEST]:
            yield ImageRow(document, _NONE, _NONE, _NONE)
            continue
        if len(tags) == 1 and not its_digests:
            repository, _, tag = tags[0].rpartition(":")
            yield ImageRow(document, repository, tag, _NONE)
            continue
        by_repository: dict[str, tuple[list[str], list[str]]] = {}
        for name in tags:
            repository, _, tag = name.rpartition(":")
            by_repository.setdefault(repository, ([], []))[0].append(tag)
        for name in its_digests:
            repository, _, digest = name.partition("@")
            by_repository.setdefault(repository, ([], []))[1].append(digest)
        for repository, (its_tags, known) in by_repository.items():
            shown = known if digests or tag_for_digest else []
            for tag in its_tags:
                for digest in shown or [_NONE]:
                    yield ImageRow(document, repository, tag, digest)
            if not its_tags:
                for digest in known if digests else [""]:
                    yield ImageRow(document, repository, _NONE, digest)

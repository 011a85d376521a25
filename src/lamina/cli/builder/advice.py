"""``lamina build --advise`` and the end of ``--check``: what wastes space in an image, with the lines to blame."""

from __future__ import annotations

from collections.abc import Iterable

from lamina.cli.builder.excerpt import excerpt, source_lines
from lamina.cli.units import human_size
from lamina.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lamina.builder.request import BuildRequest
    from lamina.builder.wasting import Waste
    from lamina.dockerfile.instructions import Location

#: Less than this is not worth a word.
_LEAST = 100_000
_SAID = {
    "removed": (
        "that {added} adds are removed by {hidden}, and stay in the image",
        "Remove them in the instruction that adds them.",
    ),
    "replaced": (
        "that {added} adds are replaced by {hidden}, and stay in the image",
        "Write them once.",
    ),
    "changed": (
        "of {added} are in the image a second time: {hidden} changes nothing but owner, mode or time",
        "Set those where the files come from, as with COPY --chown and --chmod.",
    ),
}


def advice(waste: Iterable[Waste], request: BuildRequest) -> list[str]:
    """A paragraph for each that is worth it."""
    lines = source_lines(request.dockerfile)
    return [_shown(one, request.dockerfile_name, lines) for one in waste if one.size >= _LEAST]


def _shown(waste: Waste, name: str, lines: list[str]) -> str:
    what, remedy = _SAID[waste.how]
    count = "1 file" if waste.files == 1 else f"{waste.files} files"
    said = what.format(added=_place(waste.added, name), hidden=_place(waste.hidden, name))
    more = ", ..." if waste.files > len(waste.examples) else ""
    text = f"{human_size(waste.size)} in {count} {said}: {', '.join(waste.examples)}{more}\n{remedy}"
    blamed = waste.hidden if waste.how == "changed" or waste.added is None else waste.added
    shown = [f"\nWARNING: WastedSpace\n{text}"]
    if blamed.name == name:
        shown.append(excerpt(name, lines, blamed.line, blamed.end_line))
    return "\n".join(shown)


def _place(location: Location | None, name: str) -> str:
    if location is None:
        return "the base image"
    return f"line {location.line}" if location.name == name else location.name

"""Lines of a Dockerfile as docker shows them: those that are meant marked, some more around them."""

from __future__ import annotations

#: Lines that are shown around what is meant when that is one line, and when it is several.
_AROUND = {True: 4, False: 2}


def source_lines(dockerfile: bytes) -> list[str]:
    """The lines of a Dockerfile."""
    return dockerfile.decode("utf-8", "replace").removeprefix("\ufeff").split("\n")


def excerpt(name: str, lines: list[str], first: int, last: int) -> str:
    """``name`` with the number of the first line, then the lines. Numbers count from 1."""
    last = min(last, len(lines))
    start, end = _surrounding(first, last, len(lines))
    source = [
        f" {number:>3} | {'>>>' if first <= number <= last else '   '} {lines[number - 1].rstrip(chr(13))}"
        for number in range(start, end + 1)
    ]
    rule = "-" * 20
    return "\n".join([f"{name}:{first}", rule, *source, rule])


def _surrounding(first: int, last: int, count: int) -> tuple[int, int]:
    """The lines to show, docker's choice: alternately one more before and after, as far as there are any."""
    shown, wanted = 0, _AROUND[first == last]
    while shown < wanted:
        if first > 1:
            first -= 1
            shown += 1
        if last != count:
            last += 1
            shown += 1
        shown += 1
    return first, last

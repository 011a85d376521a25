"""Columns as Go's ``text/tabwriter`` aligns them with docker's settings: at least 10 wide, 3 spaces apart."""

from __future__ import annotations

from collections.abc import Sequence

_LEAST_WIDTH = 10
_PADDING = 3


def align(text: str, least: int = _LEAST_WIDTH) -> str:
    """Replace the tabs in ``text``. A tab ends a cell; a column is as wide as its widest cell in consecutive lines."""
    lines = [line.split("\t") for line in text.split("\n")]
    widths: list[list[int]] = [[] for _ in lines]
    _measure(lines, widths, (0, len(lines)), least)
    return "\n".join(
        "".join(cell.ljust(width) for cell, width in zip(cells, row, strict=False)) + cells[-1]
        for cells, row in zip(lines, widths, strict=True)
    )


def _measure(lines: Sequence[Sequence[str]], widths: list[list[int]], rows: tuple[int, int], least: int) -> None:
    """Append the next column's width to the ``rows`` from one to before another, block by block, and go on to the
    right."""
    row, last = rows
    while row < last:
        column = len(widths[row])
        if column >= len(lines[row]) - 1:
            row += 1
            continue
        end = row
        width = least
        while end < last and column < len(lines[end]) - 1:
            width = max(width, len(lines[end][column]) + _PADDING)
            end += 1
        for inside in range(row, end):
            widths[inside].append(width)
        _measure(lines, widths, (row, end), least)
        row = end


def table(headers: Sequence[str], rows: Sequence[Sequence[str]], least: int = _LEAST_WIDTH) -> str:
    """A whole table with its last line end; no column but the last is narrower than ``least``."""
    lines = ["\t".join(cells) for cells in (headers, *rows)]
    text = "\n".join(lines)
    if text.count("\t") != (len(headers) - 1) * len(lines) or text.count("\n") != len(lines) - 1:
        return align(text + "\n", least)  # a cell has cells or lines of its own
    widths = [max(least, max(map(len, column)) + _PADDING) for column in zip(headers, *rows, strict=True)]
    form = "".join(f"%-{width}s" for width in widths[:-1]) + "%s\n"
    return "".join([form % tuple(cells) for cells in (headers, *rows)])

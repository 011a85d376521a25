"""What the sources of ``COPY`` and ``ADD`` select: digests at once, files only when a step is not cached."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from typing import NamedTuple

from lamina.builder.tree import Found, Tree
from lamina.dockerfile.instructions import InlineFile
from lamina.errors import InvalidArgument


class Piece(NamedTuple):
    """One file or directory to copy.

    :ivar unpack: whether it is extracted when it is an archive.
    :ivar parents: the directories above it that are kept, relative to the destination; for a directory, its own name
        too. ``""`` for none.
    :ivar pivot: the directory in the tree that ``parents`` begins in.
    """

    tree: Tree
    found: Found
    unpack: bool = False
    parents: str = ""
    pivot: str = ""


class Selection(NamedTuple):
    """What one instruction is about.

    :ivar digests: of each thing to copy, in order.
    :ivar facts: what else decides the result.
    :ivar pieces: gives the things to copy; may fetch them first.
    """

    digests: tuple[str, ...]
    facts: tuple[object, ...]
    pieces: Callable[[], Iterable[Piece]]


def of_tree(tree: Tree, sources: Iterable[str], *, unpack: bool) -> Selection:
    """What paths and patterns mean in one tree."""
    tree.links.clear()
    pieces = [Piece(tree, found, unpack) for source in sources for found in tree.find(source)]
    return Selection(tuple(piece.found.digest for piece in pieces), tuple(sorted(tree.links)), lambda: pieces)


def joined(selections: Iterable[Selection]) -> Selection:
    """Several as one."""
    parts = list(selections)
    return Selection(
        tuple(digest for part in parts for digest in part.digests),
        tuple(fact for part in parts for fact in part.facts),
        lambda: (piece for part in parts for piece in part.pieces()),
    )


def common_digest(keyword: str, selection: Selection, contents: Iterable[InlineFile], target: str) -> str:
    """The one digest that stands in the history.

    :raises InvalidArgument: nothing is selected, or several things for what can't be a directory.
    """
    digests = list(selection.digests)
    for inline in contents:
        content = inline.content.encode("utf-8", "surrogateescape")
        digests.append("file:" + hashlib.sha256(os.fsencode(inline.path) + b"\0" + content).hexdigest())
    if not digests:
        raise InvalidArgument(f"{keyword} failed: no source files were specified")
    if len(digests) == 1:
        return digests[0]
    if not target.endswith("/"):
        raise InvalidArgument(
            f"When using {keyword} with more than one source file, the destination must be a directory and end with a /"
        )
    return "multi:" + hashlib.sha256(",".join(digests).encode()).hexdigest()

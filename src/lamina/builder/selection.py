"""What the sources of ``COPY`` and ``ADD`` select: digests at once, files only when a step is not cached."""

from __future__ import annotations

import hashlib
import os
import posixpath
from collections.abc import Callable, Iterable, Iterator, Sequence

from lamina.builder.tree import Excludes, Found, Tree, clean, has_wildcards
from lamina.dockerfile.instructions import Copy, InlineFile
from lamina.errors import InvalidArgument
from lamina.typing import NamedTuple


class Piece(NamedTuple):
    """One file or directory to copy.

    :ivar unpack: whether it is extracted when it is an archive.
    :ivar parents: the directories above it that are kept, relative to the destination; for a directory, its own name
        too. ``""`` for none.
    :ivar pivot: the directory in the tree that ``parents`` begins in.
    :ivar base: the directory in the tree that excluded paths are relative to.
    """

    tree: Tree
    found: Found
    unpack: bool = False
    parents: str = ""
    pivot: str = ""
    base: str = ""


class Selection(NamedTuple):
    """What one instruction is about.

    :ivar digests: of each thing to copy, in order.
    :ivar facts: what else decides the result.
    :ivar pieces: gives the things to copy; may fetch them first.
    """

    digests: tuple[str, ...]
    facts: tuple[object, ...]
    pieces: Callable[[], Iterable[Piece]]


def of_tree(
    tree: Tree, sources: Iterable[str], *, unpack: bool = False, parents: bool = False, excludes: Excludes | None = None
) -> Selection:
    """What paths and patterns mean in one tree.

    :param parents: ``--parents``: the directories above them come along.
    :param excludes: ``--exclude``.
    """
    tree.links.clear()
    pieces: list[Piece] = []
    for source in sources:
        if parents:
            pieces += _with_parents(tree, source, excludes)
        else:
            pieces += [_piece(tree, found, unpack) for found in tree.find(source, excludes)]
    if excludes is not None:
        pieces = [piece for piece in pieces if piece.found.is_directory or not excludes(_below(piece))]
    kept = [piece.parents for piece in pieces] if parents else []
    return Selection(tuple(piece.found.digest for piece in pieces), (*sorted(tree.links), *kept), lambda: pieces)


def of_copy(tree: Tree, instruction: Copy) -> Selection:
    """What a ``COPY`` takes from one tree."""
    excludes = excluder(instruction.exclude)
    return of_tree(tree, instruction.sources, parents=instruction.parents, excludes=excludes)


def excluder(patterns: Sequence[str]) -> Excludes | None:
    """What ``--exclude`` says."""
    if not patterns:
        return None
    from lamina.dockerfile.ignore import PatternMatcher

    return PatternMatcher(patterns).matches


def _piece(tree: Tree, found: Found, unpack: bool) -> Piece:
    return Piece(tree, found, unpack, base=found.path if found.is_directory else posixpath.dirname(found.path))


def _below(piece: Piece) -> str:
    return piece.found.path[len(piece.base) :].lstrip("/")


def _with_parents(tree: Tree, source: str, excludes: Excludes | None) -> Iterator[Piece]:
    """What a source means of which the directories are kept; only those after ``/./`` where that is in it."""
    head, pivoted, tail = source.partition("/./")
    pattern = clean(tail if pivoted else source)
    for pivot in _pivots(tree, head) if pivoted else ("",):
        for path in _matches(tree, pivot, pattern):
            found = tree.at(f"{pivot}/{path}", excludes and _shifted(excludes, path))
            above = path if found.is_directory else posixpath.dirname(path)
            yield Piece(tree, found, parents=above, pivot=pivot, base=pivot)


def _shifted(excludes: Excludes, path: str) -> Excludes:
    """The same for paths that are relative to a directory below."""
    return lambda inner: excludes(f"{path}/{inner}" if path else inner)


def _pivots(tree: Tree, head: str) -> list[str]:
    if not has_wildcards(head):
        return [clean(head)]
    return [found.path for found in tree.find(head) if found.is_directory]


def _matches(tree: Tree, pivot: str, pattern: str) -> Iterator[str]:
    """Paths below a directory that match, ``**`` for any number of directories; nothing below one that does."""
    if not has_wildcards(pattern):
        yield pattern
        return
    from lamina.dockerfile.ignore import PatternMatcher

    matcher, taken = PatternMatcher([pattern]), ""
    start = len(pivot) + 1 if pivot else 0
    for inner, _ in tree.walk(pivot):
        path = inner[start:]
        if (not taken or not path.startswith(taken)) and matcher.matches(path):
            taken = path + "/"
            yield path


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

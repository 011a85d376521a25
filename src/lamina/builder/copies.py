"""What a ``COPY`` or an ``ADD`` comes to: its sources, and what of it decides the result."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping, Sequence

from lamina.builder import permissions, sources, texts
from lamina.builder.picking import of_place
from lamina.builder.selection import Selection, common_digest, excluder, joined, of_copy, of_tree
from lamina.builder.session import Session
from lamina.builder.stage import digest_of
from lamina.builder.work import CopyFiles
from lamina.contextlib import ExitStack
from lamina.dockerfile import instructions as kinds
from lamina.typing import NamedTuple

#: Finds what ``--from`` names.
FindPlace = Callable[[str], sources.Place]


class Instruction(NamedTuple):
    """One instruction, and what of its stage it depends on beside layers.

    :ivar line: its variables are expanded.
    :ivar arguments: values of build arguments, for proxies.
    """

    line: kinds.Copy | kinds.Add
    working_directory: str
    arguments: Mapping[str, str]

    @property
    def stage(self) -> str:
        """The value of ``--from``; ``""`` for the context."""
        return self.line.stage if isinstance(self.line, kinds.Copy) else ""

    @property
    def is_apart(self) -> bool:
        """Whether its layer does not depend on those below.

        Names of owners are looked up in the layers below, so with them it is a copy like any other.
        """
        return self.line.link and set(self.line.chown) <= set("0123456789:")


class Resolved(NamedTuple):
    """What an instruction is about.

    :ivar comment: for the history.
    :ivar facts: everything that decides what is copied and how.
    :ivar apart: the key of a step whose layer would be the same on any others; ``""`` where it would not.
    """

    work: CopyFiles
    comment: str
    facts: tuple[object, ...]
    apart: str


def resolve(session: Session, instruction: Instruction, place: FindPlace, stack: ExitStack) -> Resolved:
    """Find out what the sources are; ``stack`` releases what they need."""
    line, stage = instruction.line, instruction.stage
    keyword = "ADD" if isinstance(line, kinds.Add) else "COPY"
    target = destination(instruction.working_directory, line.destination)
    mode = permissions.parse(line.chmod)
    excludes = excluder(line.exclude)
    selection = _selected(session, instruction, target, place, stack)
    digest = common_digest(keyword, selection, line.contents, target)
    comment = texts.copied(keyword, line.chown, digest, line.destination)
    unpack = line.unpack if isinstance(line, kinds.Add) else False
    facts = (comment, stage, line.chmod, line.exclude, target, selection.facts, unpack)
    work = CopyFiles(selection, line.contents, target, line.chown, bool(stage), mode, excludes)
    return Resolved(work, comment, facts, digest_of("apart", *facts) if instruction.is_apart else "")


def _selected(session: Session, instruction: Instruction, target: str, place: FindPlace, stack: ExitStack) -> Selection:
    """What the sources mean; ``stack`` releases what they need."""
    line = instruction.line
    if isinstance(line, kinds.Copy):
        if line.stage:
            return of_place(session.lookup, place(line.stage), line, stack)
        return of_copy(session.context(), line) if line.sources else joined(())

    def local(paths: Sequence[str]) -> Selection:
        excludes = excluder(line.exclude)
        return of_tree(session.context(), paths, unpack=line.unpack is not False, excludes=excludes)

    if not line.checksum and not any(":" in source for source in line.sources):
        return local(line.sources) if line.sources else joined(())
    from lamina.builder import additions  # with all that http needs

    remote = additions.Additions(session, line, target, instruction.arguments, stack)
    remote.check_checksum()
    return joined(remote.selection(source) or local([source]) for source in line.sources)


def destination(working_directory: str, text: str) -> str:
    """An absolute destination, ``..`` taken as text; a trailing slash stays, since it means a directory."""
    joined = posixpath.normpath(posixpath.join("/", working_directory, text))
    joined = "/" + joined.lstrip("/")
    return joined.rstrip("/") + "/" if text.endswith(("/", "/.")) or text == "." else joined

"""What steps do to files, as values; a ``RUN`` is a :class:`lamina.builder.job.Job`."""

from __future__ import annotations

from lamina.builder.job import Job
from lamina.builder.permissions import Permissions
from lamina.builder.selection import Selection
from lamina.builder.tree import Excludes
from lamina.dockerfile.instructions import InlineFile
from lamina.typing import NamedTuple


class MakeDirectory(NamedTuple):
    """``WORKDIR``.

    :ivar user: who gets the directories that are made.
    """

    path: str
    user: str = ""


class CopyFiles(NamedTuple):
    """``COPY`` and ``ADD``.

    :ivar selection: what is copied.
    :ivar target: absolute; a trailing slash means a directory.
    :ivar chown: the flag's text.
    :ivar keep_owner: whether files keep their owner when nothing else is said.
    :ivar mode: permissions of everything, or ``None``.
    """

    selection: Selection
    contents: tuple[InlineFile, ...]
    target: str
    chown: str
    keep_owner: bool
    mode: Permissions | None
    excludes: Excludes | None


#: What changes files.
Work = MakeDirectory | CopyFiles | Job

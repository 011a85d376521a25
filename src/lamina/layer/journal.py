"""The journal: what a running operation may leave behind if its process dies.

An entry is an empty file ``lamina/journal/<token>``; its owner holds a ``flock`` on it for as long as the operation
lasts, and processes that work for the owner inherit the lock. Every directory that the operation makes has a name that
begins with the token, so the entry accounts for all of them before the first one exists, and nothing has to be
written: journaling file systems keep the order of changes to names.

Facts that names of directories can't carry are names beside the entry, ``<token>.<kind>.<key>``: an image that the
operation creates or deletes, a container whose writable layer it makes.

An entry whose lock can be taken belongs to nobody any more: see :mod:`lamina.layer.recovery`.
"""

from __future__ import annotations

import os
from _thread import get_ident
from collections.abc import Iterator

from lamina.atomicfile import naming
from lamina.contextlib import contextmanager, suppress
from lamina.dataroot import DataRoot
from lamina.filelock import FileLock
from lamina.layer.database import list_directory

#: Hex digits of a token, half of a graph driver id.
TOKEN_LENGTH = 32


class Entry:
    """One operation's entry, with its lock.

    :ivar token: the first 32 hex digits of every id that the operation makes.
    """

    def __init__(self, directory: str, token: str, lock: FileLock) -> None:
        self.token = token
        self._directory = directory
        self._lock = lock

    @property
    def descriptor(self) -> int:
        """The open file that holds the lock, for processes that work for this one to inherit."""
        return self._lock.descriptor

    def new_id(self) -> str:
        """A random id of 64 hex digits that this entry accounts for."""
        return self.token + os.urandom(32 - TOKEN_LENGTH // 2).hex()

    def note(self, kind: str, key: str) -> None:
        """Remember a fact for whoever recovers."""
        path = f"{self._directory}/{self.token}.{kind}.{key}"
        with suppress(FileExistsError), naming(path):
            os.mknod(path, 0o600)

    def notes(self, kind: str) -> list[str]:
        """Keys of the facts of one kind."""
        return _notes(self._directory, self.token, kind)

    def has_notes(self) -> bool:
        """Whether any fact was noted."""
        prefix = self.token + "."
        return any(name.startswith(prefix) for name in list_directory(self._directory))

    def close(self) -> None:
        """The operation is over and nothing is left to account for. Idempotent."""
        if self._lock.descriptor < 0:
            return
        prefix = self.token + "."
        for name in list_directory(self._directory):
            if name.startswith(prefix):
                os.unlink(f"{self._directory}/{name}")
        self._lock.release()

    def abandon(self) -> None:
        """Give the lock up and leave the entry for recovery. Idempotent."""
        self._lock.release(remove=False)


class Journal:
    """All entries of one root."""

    def __init__(self, root: DataRoot) -> None:
        self._root = root
        self._directory = root.sub("lamina/journal")
        self._open: dict[int, list[Entry]] = {}

    def begin(self) -> Entry:
        """A new entry. Raises what ``DataRoot.require_writable`` raises."""
        while True:
            token = os.urandom(TOKEN_LENGTH // 2).hex()
            entry = self._lock(token)
            if entry is not None:
                return entry

    @contextmanager
    def operation(self) -> Iterator[Entry]:
        """The entry of the operation that this thread is in, or one for as long as the context lasts.

        When the block raises, an entry of its own that has notes is left for recovery.
        """
        current = self.current()
        if current is not None:
            yield current
            return
        with self._root.writing():
            entry = self.begin()
            self.enter(entry)
            try:
                yield entry
            except BaseException:
                if entry.has_notes():
                    entry.abandon()
                else:
                    entry.close()
                raise
            finally:
                self.leave(entry)
            entry.close()

    def current(self) -> Entry | None:
        """The entry of the innermost operation that this thread is in."""
        entries = self._open.get(get_ident())
        return entries[-1] if entries else None

    def enter(self, entry: Entry) -> None:
        """Make ``entry`` the one that this thread works for."""
        self._open.setdefault(get_ident(), []).append(entry)

    def leave(self, entry: Entry) -> None:
        """The reverse of :meth:`enter`, from any thread."""
        for thread, entries in list(self._open.items()):
            if entry in entries:
                entries.remove(entry)
                if not entries:
                    del self._open[thread]

    def is_empty(self) -> bool:
        """Whether no operation is running and none was interrupted."""
        return not list_directory(self._directory)

    def tokens(self) -> set[str]:
        """Tokens of all entries, alive or dead."""
        return {name[:TOKEN_LENGTH] for name in list_directory(self._directory)}

    def notes(self, token: str, kind: str) -> list[str]:
        """Keys of the facts of one kind beside an entry that may be another's."""
        return _notes(self._directory, token, kind)

    def dead(self) -> Iterator[Entry]:
        """Entries whose owner is gone, locked by the caller, who closes or abandons each."""
        for token in sorted(self.tokens()):
            entry = self._lock(token)
            if entry is not None:
                yield entry

    def _lock(self, token: str) -> Entry | None:
        lock = FileLock(f"{self._directory}/{token}")
        return Entry(self._directory, token, lock) if lock.acquire(wait=False) else None


def _notes(directory: str, token: str, kind: str) -> list[str]:
    prefix = f"{token}.{kind}."
    return [name[len(prefix) :] for name in list_directory(directory) if name.startswith(prefix)]

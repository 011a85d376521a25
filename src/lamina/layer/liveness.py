"""Which of the things on disk belong to operations that are still running."""

from __future__ import annotations

import os

from lamina.atomicfile import TEMPORARY_PREFIX
from lamina.layer.journal import TOKEN_LENGTH
from lamina.layer.workshop import Workshop
from lamina.layer.writable import CONTAINER_NOTE


class Running:
    """The operations that were running when this was made.

    Ask for what exists *after* making it: an operation that began later may have made something in between, but then
    it is running, or finished and its things are referred to.
    """

    def __init__(self, workshop: Workshop) -> None:
        self._tokens = workshop.journal.tokens()
        self._containers: set[str] = set()
        self.dead: set[str] = set()
        if workshop.root.read_only:
            return  # nobody can be asked to give a lock up, so nothing counts as dead
        for entry in workshop.journal.dead():
            self._tokens.discard(entry.token)
            self.dead.add(entry.token)
            entry.abandon()
        for token in self._tokens:
            self._containers.update(workshop.journal.notes(token, CONTAINER_NOTE))

    def owns(self, path: str) -> bool:
        """Whether a running operation made what ``path`` names, or what the symbolic link there points at."""
        names = path.split("/")
        if os.path.islink(path):
            names += os.readlink(path).split("/")
        return any(name.removeprefix(TEMPORARY_PREFIX)[:TOKEN_LENGTH] in self._tokens for name in names)

    def owns_id(self, id: str) -> bool:
        """Whether a running operation made the graph driver's ``id``."""
        return id[:TOKEN_LENGTH] in self._tokens

    def changes_container(self, container_id: str) -> bool:
        """Whether a running operation makes or removes the container."""
        return container_id in self._containers

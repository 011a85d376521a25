"""Stores on a temporary root, images in them, and processes that die in the middle of changing them."""

from __future__ import annotations

import io
import mmap
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from lamina.dataroot import DataRoot
from lamina.digest import DiffID
from lamina.errors import LaminaError
from lamina.graphdriver import open_driver
from lamina.image.contract import Image
from lamina.image.fsck import fsck
from lamina.image.store import FileImageStore
from lamina.layer.contract import Layer
from lamina.layer.store import FileLayerStore
from lamina.reference import parse_tagged
from support.images import TestImage, sha256

#: Exit status of a child that a :class:`Fault` ended.
KILLED = 77
#: Exit status of a child whose work ended with an error that says what failed and where.
REFUSED = 78

#: Functions of ``os`` that take space on a disk.
GROWING = ("link", "mkdir", "mknod", "open", "rename", "replace", "symlink", "write")
#: All that change what is on it.
CHANGING = (*GROWING, "rmdir", "unlink")
#: Those that wait for it.
SYNCING = ("fdatasync", "fsync")


class Storage(NamedTuple):
    """One root with its stores."""

    root: DataRoot
    layers: FileLayerStore
    images: FileImageStore

    @property
    def path(self) -> str:
        return self.root.path

    def again(self) -> Storage:
        """The same root as another process would open it."""
        return open_storage(self.path, self.layers.driver.name)

    def findings(self, *, deep: bool = False, repair: bool = False) -> list[str]:
        """What the file system check finds, one line each."""
        report = fsck(self.images, deep=deep, repair=repair)
        return [f"{finding.kind} {finding.path}: {finding.what}" for finding in report.findings]

    def add(self, image: TestImage, *names: str) -> Image:
        """Put a test image into the stores as ``load`` does."""
        return add_image(self, image, *names)

    def names(self) -> dict[str, str]:
        """Every name with the ID of its image."""
        return {reference.familiar: str(id) for reference, id in self.images.references.all().items()}


def open_storage(path: str, driver: str | None = None) -> Storage:
    root = DataRoot.open(path)
    layers = FileLayerStore(root, open_driver(path, driver))
    return Storage(root, layers, FileImageStore(root, layers))


def add_image(storage: Storage, image: TestImage, *names: str) -> Image:
    with storage.layers.begin() as transaction:
        below = None
        for tar in image.layers:
            below = transaction.claim(DiffID(sha256(tar)), below)
            if not isinstance(below, Layer):
                below.fill_from(io.BytesIO(tar))
        transaction.commit()
        with storage.images.lock():
            added = storage.images.create(image.config.data)
            for name in names:
                storage.images.tag(added.id, parse_tagged(name))
    return added


def in_child(work: Callable[[], object], fault: Fault | None = None) -> int:
    """Run ``work`` in a forked child; its exit status: 0, :data:`REFUSED` after an error that says what failed and
    where, 1 after any other, :data:`KILLED` when ``fault`` ended it.
    """
    sys.stdout.flush()
    pid = os.fork()
    if not pid:
        status = 1
        try:
            if fault is not None:
                fault.install()
            work()
            status = 0
        except (LaminaError, OSError) as error:
            status = REFUSED if isinstance(error, LaminaError) or error.filename else 1
            if status != REFUSED:
                traceback.print_exc()
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


class Fault:
    """What happens in a child in place of one of its changes on disk.

    :param number: which change, from 1.
    :param code: the error that the system call ends with; ``None`` ends the process, as ``kill -9`` would.
    :param names: functions of ``os`` whose calls are counted.
    :param others: methods whose calls are counted too, by their classes and names.
    """

    def __init__(
        self,
        number: int,
        code: int | None = None,
        names: Sequence[str] = CHANGING,
        others: Sequence[tuple[type, str]] = (),
    ) -> None:
        self._number = number
        self._code = code
        self._names = names
        self._others = others
        self._count = 0
        self._memory = mmap.mmap(-1, 1)  # shared with children

    @property
    def happened(self) -> bool:
        """Whether a child came to that change."""
        return self._memory[0] != 0

    def install(self) -> None:
        """In the child, before its work."""
        for name in self._names:
            setattr(os, name, self._watched(name, getattr(os, name)))
        for owner, name in self._others:
            setattr(owner, name, self._watched(name, getattr(owner, name)))

    def _watched(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            if name != "open" or arguments[1] & (os.O_CREAT | os.O_TRUNC):
                self._count += 1
                if self._count == self._number:
                    self._memory[0] = 1
                    if self._code is None:
                        os._exit(KILLED)
                    path = arguments[0] if isinstance(arguments[0], str) else None
                    raise OSError(self._code, os.strerror(self._code), path)
            return function(*arguments, **options)

        return call

"""Stores on a temporary root, images in them, and processes that die in the middle of changing them."""

from __future__ import annotations

import io
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any, NamedTuple

from lamina.dataroot import DataRoot
from lamina.digest import DiffID
from lamina.graphdriver import open_driver
from lamina.image.contract import Image
from lamina.image.fsck import fsck
from lamina.image.store import FileImageStore
from lamina.layer.contract import Layer
from lamina.layer.store import FileLayerStore
from lamina.reference import parse_tagged
from support.images import TestImage, sha256

#: Exit status of a child that died where it was told to.
DIED = 77

#: Functions of ``os`` after or before which a process may die: all that change what is on disk.
CHANGING = ("link", "mkdir", "mknod", "open", "rename", "replace", "rmdir", "symlink", "unlink", "write")


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


def in_child(work: Callable[[], object], *, die_at: int | None = None) -> int:
    """Run ``work`` in a forked child; its exit status: 0, 1 after an exception, :data:`DIED` when it died early.

    :param die_at: end the child, as ``kill -9`` would, right before its change number ``die_at`` on disk.
    """
    sys.stdout.flush()
    pid = os.fork()
    if not pid:
        status = 1
        try:
            if die_at is not None:
                _die_before(die_at)
            work()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _die_before(number: int) -> None:
    count = 0

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            nonlocal count
            if function is real_open and not arguments[1] & (os.O_CREAT | os.O_TRUNC):
                return function(*arguments, **options)
            count += 1
            if count == number:
                os._exit(DIED)
            return function(*arguments, **options)

        return call

    real_open = os.open
    for name in CHANGING:
        setattr(os, name, counted(getattr(os, name)))

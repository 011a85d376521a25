"""Network namespaces, by descriptor."""

from __future__ import annotations

import os
from collections.abc import Iterator

from lamina.contextlib import contextmanager
from lamina.linux import process

_OWN = "/proc/thread-self/ns/net"


def open_own() -> int:
    """A descriptor of the calling thread's namespace."""
    return os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC)


def open_of(pid: int) -> int:
    """A descriptor of a process's namespace. Raises ``FileNotFoundError``."""
    return os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)


@contextmanager
def fresh() -> Iterator[int]:
    """The calling thread is in a new namespace until the block ends; its descriptor, which stays open.

    The namespace lives as long as somebody has it open or is in it. Other threads stay where they are.
    """
    home = open_own()
    try:
        process.unshare(process.CLONE_NEWNET)
        try:
            descriptor = open_own()
            try:
                yield descriptor
            except BaseException:
                os.close(descriptor)
                raise
        finally:
            process.setns(home, process.CLONE_NEWNET)
    finally:
        os.close(home)


@contextmanager
def fresh_in(user_namespace: int) -> Iterator[int]:
    """As :func:`fresh`, of a namespace that belongs to the user namespace behind a descriptor."""

    def make() -> None:
        process.setns(user_namespace, process.CLONE_NEWUSER)
        process.unshare(process.CLONE_NEWNET)

    descriptor = process.opened_of_child(make, "net")
    try:
        with entered(descriptor):
            yield descriptor
    except BaseException:
        os.close(descriptor)
        raise


@contextmanager
def entered(descriptor: int) -> Iterator[None]:
    """The calling thread is in the namespace behind ``descriptor`` until the block ends."""
    home = open_own()
    try:
        process.setns(descriptor, process.CLONE_NEWNET)
        try:
            yield
        finally:
            process.setns(home, process.CLONE_NEWNET)
    finally:
        os.close(home)

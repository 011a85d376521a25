"""The ``-init`` layer: mount points and files that a container needs and its image should not have.

It lies between the image and the writable layer, so that ``diff`` and ``commit`` do not see what is in it. The list
is Docker 20.10's.
"""

from __future__ import annotations

from lamina.functools import cache
from lamina.graphdriver.contract import Skeleton
from lamina.owners import Owners


@cache
def skeleton(owners: Owners) -> Skeleton:
    """What is in it, for containers of these owners; the same object for the same."""
    return Skeleton(
        directories=("dev/pts", "dev/shm", "proc", "sys"),
        files=(".dockerenv", "etc/resolv.conf", "etc/hosts", "etc/hostname", "dev/console"),
        links=(("etc/mtab", "/proc/mounts"),),
        owner=owners.root if owners.are_mapped else None,
    )

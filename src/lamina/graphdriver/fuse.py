"""The fuse-overlayfs driver: Docker's directories of that name, shown by a union file system of our own.

For hosts that mount no overlayfs but have ``/dev/fuse``. The layout is overlay2's below ``fuse-overlayfs/``, as Docker
writes it, so fuse-overlayfs and the kernel's overlayfs read what is there too.
"""

from __future__ import annotations

import os

from lamina.graphdriver.failure import LayerDamaged
from lamina.graphdriver.overlay2 import Overlay2Driver
from lamina.linux import files, mount
from lamina.unionfs.options import MAX_LOWERS, MountOptions


class FuseDriver(Overlay2Driver):
    """See :class:`lamina.graphdriver.contract.GraphDriver`. A process of its own serves each mount until it ends."""

    name = "fuse-overlayfs"

    def status(self) -> list[tuple[str, str]]:
        place = self.home if os.path.isdir(self.home) else os.path.dirname(self.home)
        return [
            ("Backing Filesystem", files.file_system_name(place)),
            ("Supports d_type", str(files.supports_d_type(place)).lower()),
        ]

    @staticmethod
    def _maximum_lowers() -> int:
        return MAX_LOWERS

    def _attach(self, id: str, lowers: list[str], merged: str, *, read_only: bool, volatile: bool) -> None:
        directory = self._layout.directory(id)
        if not lowers:
            mount.bind(f"{directory}/diff", merged, read_only=read_only)
            return
        below = tuple(f"{self.home}/{layer}/diff" for layer in self._layout.lower_ids(id))
        if read_only:
            options = MountOptions((f"{directory}/diff", *below), read_only=True)
        else:
            self._prepare_work(f"{directory}/work")
            options = MountOptions(below, f"{directory}/diff", f"{directory}/work", volatile=volatile)
        _serve(id, options, merged)


def _serve(id: str, options: MountOptions, merged: str) -> None:
    """Mount, with what makes an upper directory the layer's whole difference: no redirects."""
    from lamina.unionfs import fuse

    try:
        fuse.mount_in_background(options._replace(redirect_dir="off", source="fuse-overlayfs"), merged)
    except FileNotFoundError as error:
        raise LayerDamaged(f"layer {id}: {error}") from error

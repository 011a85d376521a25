"""A union as a mounted file system: a FUSE server on the raw kernel protocol."""

from lamina.unionfs.fuse.mounting import mount_in_background, serve, unmount

__all__ = ["mount_in_background", "serve", "unmount"]

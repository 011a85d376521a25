"""What the verbs of ``lamina union`` share: which union is meant."""

from __future__ import annotations

import os

from lamina.cli.command import CommandError, Context, Options
from lamina.cli.flags import Flag, texts
from lamina.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lamina.unionfs.options import MountOptions

#: The extended attribute by which a mounted union of ours says what it is made of.
_OWN_OPTIONS = "user.lamina.options"


def option_flag(help: str = "Layers and switches of the union, as for mount -t overlay") -> Flag:
    """``-o``, repeatable."""
    return texts("options", help, short="o", type_name="OPTIONS")


def typed_options(options: Options, *, source: str | None = None) -> MountOptions:
    """What ``-o`` says, relative directories as the caller sees them."""
    from lamina.unionfs import grammar

    return grammar.absolute(grammar.parse(",".join(options.texts("options")), source=source))


def located(context: Context, options: Options, path: str) -> tuple[MountOptions, str]:
    """The union that is meant, and ``path`` relative to its root.

    With ``-o`` a union that need not be mounted, else the mounted one that ``path`` is in, ours or the kernel's.
    Raises :class:`CommandError` when it is in none.
    """
    if options.texts("options"):
        return typed_options(options), path.strip("/")
    point = os.path.realpath(os.path.dirname(path) or ".")
    point = os.path.join(point, os.path.basename(path)) if os.path.basename(path) not in ("", ".", "..") else point
    if os.path.ismount(path):
        point = os.path.realpath(path)
    inner: list[str] = []
    while not os.path.ismount(point):
        point, name = os.path.split(point)
        inner.insert(0, name)
    found = _mounted(point)
    if found is None:
        raise CommandError(
            f"{context.path}: {path} is in no mounted union; say -o lowerdir=...,upperdir=...,workdir=..."
        )
    return found, "/".join(inner)


def _mounted(point: str) -> MountOptions | None:
    """What the union mounted at ``point`` is made of; ``None`` when it is no union."""
    from lamina.linux import mount
    from lamina.unionfs import grammar

    try:
        return grammar.absolute(grammar.parse(os.fsdecode(os.getxattr(point, _OWN_OPTIONS))))
    except OSError:
        pairs = mount.overlay_options(point)
    return None if pairs is None else grammar.absolute(_kernels(pairs))


def _kernels(pairs: list[tuple[str, str]]) -> MountOptions:
    """A mounted overlay's options as ours; those that are only about the mount are left out."""
    from lamina.unionfs import grammar
    from lamina.unionfs.options import MountOptions

    found = MountOptions(())
    for key, value in pairs:
        if key == "lowerdir":
            found = found._replace(lowerdirs=grammar.lower_directories(value))
        elif key == "lowerdir+":
            found = found._replace(lowerdirs=(*found.lowerdirs, value))
        elif key == "upperdir":
            found = found._replace(upperdir=value)
        elif key == "workdir":
            found = found._replace(workdir=value)
        elif key == "userxattr":
            found = found._replace(userxattr=True)
    return found

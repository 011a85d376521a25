"""Mounting overlayfs: a stack of up to 999 lower directories, with or without an upper one.

The descriptor mount API takes lower directories one by one (``lowerdir+``, Linux 6.7) and attaches the mount as the
very last step. Older kernels get ``mount(2)``, whose options end at one page: about 130 layers.

One overlay has at most 500 lower directories (``OVL_MAX_STACK`` of ``fs/overlayfs/params.h``). Of a deeper stack the
bottom group becomes a read-only overlay of its own which is the last lower directory of the real one. Only the bottom
can be grouped so: an overlay hides the whiteouts in it, and below the bottom there is nothing left to hide. The kernel
keeps the inner overlay alive for as long as the outer one is mounted, and it is attached nowhere: nothing is to be
undone.
"""

import errno
import os
from collections.abc import Iterator

from lamina.contextlib import contextmanager
from lamina.graphdriver.depth import GROUP, MAXIMUM_LOWERS
from lamina.graphdriver.failure import TooManyLayers
from lamina.linux import mount, userns
from lamina.linux.process import call_in_directory
from lamina.typing import NamedTuple

_PARAMETERS = "/sys/module/overlay/parameters"

#: Characters that overlayfs or ``mount(2)`` treats specially in an option's value.
_SPECIAL = frozenset(",:\\ ")

#: What kernels answer that do not know the descriptor API, or ``lowerdir+`` in it.
_TOO_OLD = (errno.ENOSYS, errno.EINVAL, errno.EPERM)


class Overlay(NamedTuple):
    """One overlay to be mounted.

    :ivar home: absolute path that the others are relative to.
    :ivar lowers: top first, at least one; two without an upper directory.
    :ivar upper: ``None`` for a read-only overlay, and so is ``work``.
    :ivar volatile: do not sync the upper directory, ever.
    """

    home: str
    lowers: list[str]
    upper: str | None = None
    work: str | None = None
    volatile: bool = False


def options() -> list[tuple[str, str]]:
    """Features to switch off, as far as this kernel has them.

    ``index`` as Docker does: an upper directory may be mounted elsewhere too. The others only where the kernel's
    default is on: with ``redirect_dir`` or ``metacopy`` an upper directory is no longer the layer's whole difference.
    In a user namespace, whose root can't set ``trusted.`` attributes, overlayfs keeps its marks in ``user.`` ones: a
    flag, which has the value ``""`` here.
    """
    chosen = []
    for name in ("index", "nfs_export", "redirect_dir", "metacopy"):
        try:
            enabled = _parameter(name)
        except OSError:
            continue
        if enabled or name == "index":
            chosen.append((name, "off"))
    if not userns.is_initial():
        chosen.append(("userxattr", ""))
    return chosen


def _parameter(name: str) -> bool:
    """Whether the kernel's default is on. Raises :class:`OSError` where it knows nothing of that name."""
    descriptor = os.open(f"{_PARAMETERS}/{name}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, 1) in (b"Y", b"1")
    finally:
        os.close(descriptor)


def attach(overlay: Overlay, target: str) -> None:
    """Mount ``overlay`` at ``target``, an absolute path; on an error nothing is mounted.

    Raises ``TooManyLayers``, or :class:`OSError` with what the kernel said.
    """
    if len(overlay.lowers) > MAXIMUM_LOWERS:
        raise TooManyLayers(f"max depth exceeded: {len(overlay.lowers)} layers, overlayfs shows {MAXIMUM_LOWERS}")
    try:
        descriptor = detached(overlay)
    except OSError as error:
        if error.errno not in _TOO_OLD:
            raise
        _attach_by_mount(overlay, target, error)
        return
    try:
        mount.move_mount(descriptor, target)
    finally:
        os.close(descriptor)


def probe(overlay: Overlay, target: str) -> None:
    """Find out whether ``overlay`` could be mounted at ``target``; nothing stays mounted. Raises as :func:`attach`."""
    attach(overlay, target)
    mount.unmount(target, lazy=True)


def detached(overlay: Overlay) -> int:
    """A descriptor of the mounted but nowhere attached overlay. Raises :class:`OSError`."""
    if not _takes_single_lowers(os.uname().release):
        raise OSError(errno.EINVAL, "the kernel does not take lower directories one by one", overlay.home)
    longest = max(map(len, (overlay.upper or "", overlay.work or "", *overlay.lowers)))
    if len(overlay.home) + 1 + longest > mount.STRING_LIMIT or _SPECIAL.intersection(overlay.home):
        return call_in_directory(overlay.home, lambda: _detached(overlay, ""))
    return _detached(overlay, overlay.home + "/")


def _takes_single_lowers(release: str) -> bool:
    """Whether a kernel of that release has ``lowerdir+``. One that has not writes each attempt to the system's log."""
    numbers = [int(number) for number in release.partition("-")[0].split(".")[:2] if number.isdecimal()]
    return numbers >= [6, 7]


def _detached(overlay: Overlay, prefix: str) -> int:
    attributes = 0 if overlay.upper else mount.MOUNT_ATTR_RDONLY
    with mount.FileSystemContext("overlay") as context:
        context.set_string("source", "overlay")
        for key, value in options():
            if value:
                context.set_string(key, value)
            else:
                context.set_flag(key)
        if overlay.upper is not None and overlay.work is not None:
            context.set_string("upperdir", prefix + overlay.upper)
            context.set_string("workdir", prefix + overlay.work)
        if overlay.volatile:
            context.set_flag("volatile")
        with _lowers(context, overlay, prefix):
            context.create()
        return context.mount(attributes)


@contextmanager
def _lowers(context: mount.FileSystemContext, overlay: Overlay, prefix: str) -> Iterator[None]:
    """Give ``context`` its lower directories; inside the block the overlay must be created."""
    if len(overlay.lowers) <= GROUP:
        for lower in overlay.lowers:
            context.set_string("lowerdir+", prefix + lower)
        yield
        return
    for lower in overlay.lowers[: GROUP - 1]:
        context.set_string("lowerdir+", prefix + lower)
    bottom = _detached(Overlay(overlay.home, overlay.lowers[GROUP - 1 :]), prefix)
    try:
        with _last_lower(context, bottom, overlay):
            yield
    finally:
        os.close(bottom)


@contextmanager
def _last_lower(context: mount.FileSystemContext, bottom: int, overlay: Overlay) -> Iterator[None]:
    """Give ``context`` the detached mount ``bottom``: by descriptor (Linux 6.13), else attached for a moment."""
    try:
        context.set_descriptor("lowerdir+", bottom)
    except OSError as error:
        if error.errno not in _TOO_OLD:
            raise
    else:
        yield
        return
    place = os.path.join(overlay.home, f"below-{os.getpid()}-{os.urandom(4).hex()}")
    os.mkdir(place, 0o700)
    try:
        mount.move_mount(bottom, place)
        try:
            context.set_string("lowerdir+", place)
            yield
        finally:
            mount.unmount(place, lazy=True)
    finally:
        os.rmdir(place)


def _attach_by_mount(overlay: Overlay, target: str, first: OSError) -> None:
    """``mount(2)``: with absolute paths where they fit into a page, else relative ones. Raises ``first`` on failure."""
    if len(overlay.lowers) > GROUP:
        raise TooManyLayers(f"{len(overlay.lowers)} layers need Linux 6.7: {first}") from first
    flags = 0 if overlay.upper else mount.MS_RDONLY
    absolute = _mount_options(overlay, overlay.home + "/")
    try:
        if len(absolute) < os.sysconf("SC_PAGE_SIZE") and not _SPECIAL.intersection(overlay.home):
            mount.mount("overlay", target, "overlay", flags, absolute)
            return
        relative = _mount_options(overlay, "")
        call_in_directory(overlay.home, lambda: mount.mount("overlay", target, "overlay", flags, relative))
    except OSError as error:
        if error.errno == errno.E2BIG:
            count = len(overlay.lowers)
            raise TooManyLayers(f"{count} layers do not fit into this kernel's mount options ({first})") from error
        if error.errno == first.errno:
            raise first from None  # it carries the kernel's own words
        raise


def _mount_options(overlay: Overlay, prefix: str) -> str:
    words = [f"{key}={value}" if value else key for key, value in options()]
    words.append("lowerdir=" + ":".join(prefix + lower for lower in overlay.lowers))
    if overlay.upper:
        words += [f"upperdir={prefix}{overlay.upper}", f"workdir={prefix}{overlay.work}"]
    if overlay.volatile:
        words.append("volatile")
    return ",".join(words)

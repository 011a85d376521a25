"""Mounting: the file-descriptor mount API (Linux 5.2), ``mount(2)``, unmounting, and what is mounted.

A mount made from descriptors exists nowhere until :func:`move_mount` attaches it, so a failure on the way leaves
nothing, and its options are not limited by one page as ``mount(2)``'s are.
"""

from __future__ import annotations

import errno
import os

from lamina.linux import ctypes
from lamina.linux.libc import AT_EMPTY_PATH, AT_FDCWD, AT_RECURSIVE, LIBC, check, encode, syscall
from lamina.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

# asm-generic/unistd.h; the same numbers on every architecture but alpha
_NR_OPEN_TREE = 428
_NR_MOVE_MOUNT = 429
_NR_FSOPEN = 430
_NR_FSCONFIG = 431
_NR_FSMOUNT = 432
_NR_MOUNT_SETATTR = 442

# linux/mount.h
_FSOPEN_CLOEXEC = 1
_FSMOUNT_CLOEXEC = 1
_FSCONFIG_SET_FLAG = 0
_FSCONFIG_SET_STRING = 1
_FSCONFIG_SET_FD = 5
_FSCONFIG_CMD_CREATE = 6
_OPEN_TREE_CLONE = 1
_MOVE_MOUNT_F_EMPTY_PATH = 0x04
MOUNT_ATTR_RDONLY = 0x01
MOUNT_ATTR_NOSUID = 0x02
MOUNT_ATTR_NODEV = 0x04
MOUNT_ATTR_NOEXEC = 0x08

# linux/mount.h
MS_RDONLY = 0x0001
MS_NOSUID = 0x0002
MS_NODEV = 0x0004
MS_NOEXEC = 0x0008
MS_REMOUNT = 0x0020
MS_BIND = 0x1000
MS_REC = 0x4000
MS_UNBINDABLE = 1 << 17
MS_PRIVATE = 1 << 18
MS_SLAVE = 1 << 19
MS_SHARED = 1 << 20

# sys/mount.h
_MNT_DETACH = 2
_UMOUNT_NOFOLLOW = 8

#: ``fsconfig`` refuses longer strings (``fs/fsopen.c``).
STRING_LIMIT = 255


class FileSystemContext:
    """A file system in the making: ``fsopen``, parameters by ``fsconfig``, then :meth:`mount`. A context manager.

    Errors carry what the kernel logged in the context ("overlay: lowerdir is not a directory"), which ``errno`` alone
    does not tell.
    """

    def __init__(self, kind: str) -> None:
        """Raises :class:`OSError`: ``ENOSYS`` before Linux 5.2, ``ENODEV`` for an unknown file system."""
        self.kind = kind
        self._descriptor = syscall(_NR_FSOPEN, kind.encode(), _FSOPEN_CLOEXEC, path=kind)

    def set_string(self, key: str, value: str | bytes) -> None:
        """One parameter; given again it appends where the file system says so (``lowerdir+``)."""
        self._configure(_FSCONFIG_SET_STRING, key, encode(value), 0, value)

    def set_flag(self, key: str) -> None:
        self._configure(_FSCONFIG_SET_FLAG, key, None, 0, key)

    def set_descriptor(self, key: str, descriptor: int) -> None:
        self._configure(_FSCONFIG_SET_FD, key, None, descriptor, key)

    def create(self) -> None:
        """Make the superblock from what was set."""
        self._configure(_FSCONFIG_CMD_CREATE, None, None, 0, self.kind)

    def mount(self, attributes: int = 0) -> int:
        """A descriptor of a detached mount of it; it vanishes when closed unless attached by :func:`move_mount`."""
        return syscall(_NR_FSMOUNT, self._descriptor, _FSMOUNT_CLOEXEC, ctypes.c_uint(attributes), path=self.kind)

    def close(self) -> None:
        """Idempotent; a mount that was made lives on."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> FileSystemContext:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _configure(
        self, command: int, key: str | None, value: bytes | None, auxiliary: int, subject: str | bytes
    ) -> None:
        name = None if key is None else key.encode()
        try:
            syscall(_NR_FSCONFIG, self._descriptor, ctypes.c_uint(command), name, value, auxiliary, path=subject)
        except OSError as error:
            log = self._log()
            if log:
                raise OSError(error.errno, f"{error.strerror} ({log})", subject) from error
            raise

    def _log(self) -> str:
        """What the kernel said about this context, without the severity letter that begins each message."""
        messages: list[str] = []
        while True:
            try:
                message = os.read(self._descriptor, 4096)
            except OSError:
                return "; ".join(messages)
            messages.append(message.decode(errors="replace").strip().partition(" ")[2])


def move_mount(descriptor: int, target: str) -> None:
    """Attach the detached mount ``descriptor`` at ``target``."""
    syscall(
        _NR_MOVE_MOUNT, descriptor, b"", AT_FDCWD, encode(target), ctypes.c_uint(_MOVE_MOUNT_F_EMPTY_PATH), path=target
    )


def open_tree(path: str, *, recursive: bool = False) -> int:
    """A descriptor of a detached copy of the mount at ``path`` (what a bind mount is made of)."""
    flags = _OPEN_TREE_CLONE | os.O_CLOEXEC | (AT_RECURSIVE if recursive else 0)
    return syscall(_NR_OPEN_TREE, AT_FDCWD, encode(path), ctypes.c_uint(flags), path=path)


class _MountAttributes(ctypes.Structure):
    """``struct mount_attr`` of ``linux/mount.h``, version 0."""

    _fields_ = (
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    )


def set_attributes(
    descriptor: int, *, add: int = 0, remove: int = 0, propagation: int = 0, recursive: bool = False
) -> None:
    """Change ``MOUNT_ATTR_*`` flags and propagation of a mount (Linux 5.12), of all below it with ``recursive``."""
    attributes = _MountAttributes(add, remove, propagation, 0)
    flags = AT_EMPTY_PATH | (AT_RECURSIVE if recursive else 0)
    syscall(
        _NR_MOUNT_SETATTR,
        descriptor,
        b"",
        ctypes.c_uint(flags),
        ctypes.byref(attributes),
        ctypes.c_size_t(ctypes.sizeof(attributes)),
        path=descriptor,
    )


def mount(source: str, target: str, kind: str | None, flags: int = 0, options: str = "") -> None:
    """``mount(2)``. ``options`` longer than a page less one byte are cut by the kernel, so they are refused here."""
    data = encode(options)
    if len(data) >= os.sysconf("SC_PAGE_SIZE"):
        raise OSError(errno.E2BIG, "mount options exceed one page", target)
    result = LIBC.mount(
        encode(source), encode(target), None if kind is None else kind.encode(), ctypes.c_ulong(flags), data or None
    )
    check(int(result), target)


def bind(source: str, target: str, *, read_only: bool = False, recursive: bool = False) -> None:
    """Show ``source`` at ``target`` too; all or nothing."""
    try:
        tree = open_tree(source, recursive=recursive)
    except OSError as error:
        if error.errno != errno.ENOSYS:
            raise
        _bind_by_mount(source, target, read_only=read_only, recursive=recursive)
        return
    try:
        if read_only:
            set_attributes(tree, add=MOUNT_ATTR_RDONLY, recursive=recursive)
        move_mount(tree, target)
    finally:
        os.close(tree)


def _bind_by_mount(source: str, target: str, *, read_only: bool, recursive: bool) -> None:
    mount(source, target, None, MS_BIND | (MS_REC if recursive else 0))
    if read_only:
        try:
            mount("", target, None, MS_BIND | MS_REMOUNT | MS_RDONLY)
        except BaseException:
            unmount(target, lazy=True)
            raise


def set_propagation(target: str, propagation: int) -> None:
    """``MS_PRIVATE``, ``MS_SLAVE`` or ``MS_SHARED``, with ``MS_REC`` for everything below."""
    mount("", target, None, propagation)


def unmount(target: str, *, lazy: bool = False) -> None:
    """Detach the topmost mount at ``target``; ``lazy`` also while it is in use. ``EINVAL`` when nothing is mounted."""
    check(int(LIBC.umount2(encode(target), _UMOUNT_NOFOLLOW | (_MNT_DETACH if lazy else 0))), target)


def is_mount_point(path: str) -> bool:
    """Whether something is mounted exactly at ``path``; ``False`` when it does not exist. Sees bind mounts too."""
    try:
        descriptor = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        here = _mount_id(descriptor)
    finally:
        os.close(descriptor)
    parent = os.open(os.path.dirname(path.rstrip("/")) or "/", os.O_PATH | os.O_CLOEXEC)
    try:
        return here != _mount_id(parent)
    finally:
        os.close(parent)


def _mount_id(descriptor: int) -> bytes:
    """Number of the mount a descriptor lives on: the ``mnt_id`` line of ``fdinfo`` (proc(5))."""
    information = os.open(f"/proc/self/fdinfo/{descriptor}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        lines = os.read(information, 4096)
    finally:
        os.close(information)
    for line in lines.splitlines():
        if line.startswith(b"mnt_id:"):
            return line[7:].strip()
    raise OSError(errno.ENOSYS, "no mount id in fdinfo", descriptor)


def mount_points(prefix: str) -> list[str]:
    """Everything mounted at or below ``prefix`` in this mount namespace, latest first: in order for unmounting.

    A symbolic link as the last component of ``prefix`` is not followed: nothing is mounted on a link.
    """
    directory, name = os.path.split(prefix.rstrip("/"))
    base = os.path.join(os.path.realpath(directory), name)
    found = []
    with open("/proc/self/mountinfo", "rb") as table:
        for line in table:
            point = _unescape(line.split(b" ", 5)[4])
            if point == base or point.startswith(base + "/"):
                found.append(point)
    found.reverse()
    return found


def _unescape(field: bytes) -> str:
    """mountinfo writes space, tab, newline and backslash as three octal digits (proc(5))."""
    if b"\\" in field:
        for raw, escaped in ((b" ", b"\\040"), (b"\t", b"\\011"), (b"\n", b"\\012"), (b"\\", b"\\134")):
            field = field.replace(escaped, raw)
    return os.fsdecode(field)


def overlay_options(point: str) -> list[tuple[str, str]] | None:
    """Options of the kernel's overlay mounted at ``point``, an absolute path; ``None`` when none is topmost there.

    Directories come as they were given: ``lowerdir`` still has its escapes (``fs/overlayfs/params.c``).
    """
    found = None
    with open("/proc/self/mountinfo", "rb") as table:
        for line in table:
            fields, _, source = line.rstrip(b"\n").partition(b" - ")
            if _unescape(fields.split(b" ", 5)[4]) == point:
                kind, _, options = source.split(b" ", 2)
                found = options if kind == b"overlay" else None
    if found is None:
        return None
    pairs = (word.partition(b"=") for word in found.split(b","))
    return [(key.decode(), _unescape(value.replace(b"\\054", b","))) for key, _, value in pairs]

"""A FUSE connection: mounting as root or through ``fusermount3``, unmounting, and the device's own requests.

Sources: Linux ``Documentation/filesystems/fuse.rst``, ``fuse-passthrough.rst`` and ``fusermount3(1)``.
"""

from __future__ import annotations

import array
import errno
import fcntl
import os
import stat
from struct import Struct

from lamina.errors import SystemFailure, Unsupported
from lamina.linux.fuse_protocol import BACKING_CLOSE, BACKING_MAP, BACKING_OPEN
from lamina.linux.mount import MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_RDONLY, mount, unmount
from lamina.typing import NamedTuple

#: The file system type in ``/proc/mounts`` is ``fuse.`` and this.
SUBTYPE = "lamina"
_NUMBER = Struct("=I")
#: Where ``fusermount3`` is.
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


#: Flags of a mount by ``mount(8)``'s words (linux/mount.h).
_FLAGS = {
    "nosuid": MS_NOSUID,
    "nodev": MS_NODEV,
    "noexec": MS_NOEXEC,
    "sync": 1 << 4,
    "dirsync": 1 << 7,
    "nosymfollow": 1 << 8,
    "noatime": 1 << 10,
    "nodiratime": 1 << 11,
    "relatime": 1 << 21,
    "strictatime": 1 << 24,
    "lazytime": 1 << 25,
}


class Request(NamedTuple):
    """What to mount. ``flags`` are words: ``nosuid``, ``noatime``."""

    source: str
    read_only: bool
    allow_other: bool
    largest_read: int
    flags: tuple[str, ...] = ()


def mount_device(target: str, request: Request) -> int:
    """Mount at ``target``; the descriptor of the connection, non-blocking. The kernel checks permissions.

    By ``mount(2)`` where that is allowed, else by ``fusermount3``. Raises :class:`OSError`, :class:`Unsupported` when
    there is no such program and :class:`SystemFailure` with what it said.
    """
    if os.geteuid() == 0:
        try:
            return _mount_directly(target, request)
        except PermissionError:
            pass
    return _mount_by_program(target, request)


def _mount_directly(target: str, request: Request) -> int:
    mode = stat.S_IFMT(os.stat(target).st_mode)
    device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        options = [f"fd={device}", f"rootmode={mode:o}", f"user_id={os.geteuid()}", f"group_id={os.getegid()}"]
        options += ["default_permissions", f"max_read={request.largest_read}"]
        if request.allow_other:
            options.append("allow_other")
        flags = MS_RDONLY if request.read_only else 0
        for word in request.flags:
            flags |= _FLAGS[word]
        mount(request.source, target, f"fuse.{SUBTYPE}", flags, ",".join(options))
    except BaseException:
        os.close(device)
        raise
    return device


def _mount_by_program(target: str, request: Request) -> int:
    import socket
    import subprocess

    options = ["default_permissions", f"subtype={SUBTYPE}", f"fsname={_escaped(request.source)}"]
    options += [f"max_read={request.largest_read}", *request.flags]
    options += ["ro"] if request.read_only else []
    options += ["allow_other"] if request.allow_other else []
    ours, theirs = socket.socketpair()
    with ours, theirs:
        command = ["fusermount3", "-o", ",".join(options), "--", target]
        environment = {"PATH": _PATH, "_FUSE_COMMFD": str(theirs.fileno())}
        try:
            done = subprocess.run(
                command,
                pass_fds=(theirs.fileno(),),
                env=environment,
                stdin=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                check=False,
            )
        except FileNotFoundError as error:
            raise Unsupported("mounting as an ordinary user needs fusermount3 (Debian: fuse3)") from error
        if done.returncode != 0:
            message = done.stderr.decode(errors="replace").strip()
            raise SystemFailure(message or f"fusermount3 failed with status {done.returncode}")
        _, ancillary, _, _ = ours.recvmsg(1, socket.CMSG_SPACE(4))
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            device = int(array.array("i", data[:4])[0])
            os.set_inheritable(device, False)
            os.set_blocking(device, False)
            return device
    raise SystemFailure("fusermount3 sent no descriptor")


def _escaped(value: str) -> str:
    """Commas and backslashes in an option value, as libfuse escapes them."""
    return value.replace("\\", "\\\\").replace(",", "\\,")


def unmount_device(target: str, *, lazy: bool = False) -> None:
    """Unmount, as an ordinary user through ``fusermount3``. Raises :class:`OSError` or :class:`SystemFailure`."""
    try:
        unmount(target, lazy=lazy)
        return
    except PermissionError:
        if os.geteuid() == 0:
            raise
    import subprocess

    command = ["fusermount3", "-u", *(["-z"] if lazy else []), "--", target]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
    except FileNotFoundError as error:
        raise Unsupported("unmounting as an ordinary user needs fusermount3 (Debian: fuse3)") from error
    if done.returncode != 0:
        raise SystemFailure(done.stderr.decode(errors="replace").strip() or "fusermount3 -u failed")


def open_backing(device: int, file: int) -> int:
    """A number under which the kernel itself reads and writes ``file`` for an open file of the mount.

    ``EPERM`` without ``CAP_SYS_ADMIN`` or without the feature, ``ELOOP`` for a file on a stacked file system.
    """
    return int(fcntl.ioctl(device, BACKING_OPEN, bytearray(BACKING_MAP.pack(file, 0, 0))))


def close_backing(device: int, number: int) -> None:
    """Let go of a number from :func:`open_backing`."""
    fcntl.ioctl(device, BACKING_CLOSE, _NUMBER.pack(number))


def can_pass_through(device: int, directory: str | bytes) -> bool:
    """Whether the kernel accepts files of ``directory``'s file system: flags of ``INIT`` do not tell."""
    try:
        file = os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError:
        return False
    try:
        close_backing(device, open_backing(device, file))
    except OSError as error:
        if error.errno in (errno.EPERM, errno.ELOOP, errno.ENOTTY, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS):
            return False
        raise
    finally:
        os.close(file)
    return True

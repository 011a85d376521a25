"""Mounting a union: in this process until it is unmounted, or by a process of its own."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Callable, Iterator

from lamina import contextlib, signal
from lamina.errors import LaminaError, SystemFailure
from lamina.linux.fuse_device import Request, mount_device, unmount_device
from lamina.unionfs.changes import open_changes
from lamina.unionfs.fuse.server import LARGEST_IO, Server
from lamina.unionfs.options import MountOptions
from lamina.unionfs.tree import Tree

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def serve(options: MountOptions, mountpoint: str, *, ready: Callable[[], None] | None = None) -> None:
    """Mount the union at ``mountpoint`` and serve it until it is unmounted or SIGTERM, SIGINT or SIGHUP arrives.

    ``ready`` is called when the mount can be used. The process's umask, signal handlers and limit of open files are
    changed meanwhile; in a thread other than the main one, signals are the caller's. Raises :class:`LaminaError` and
    :class:`OSError` for what can't be mounted; nothing stays mounted then.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(_process_settings())
        tree = Tree(options)
        stack.callback(tree.close)
        changes = open_changes(tree)
        if changes is not None:
            stack.callback(changes.close)
        allow_other = os.geteuid() == 0 if options.allow_other is None else options.allow_other
        target = os.path.realpath(mountpoint)
        request = Request(options.source, changes is None, allow_other, LARGEST_IO, options.flags)
        # A signal in between would end the process and leave a mount that nobody serves.
        stack.enter_context(_held_signals())
        device = mount_device(target, request)
        stack.callback(os.close, device)
        mounted = _mounted_device(target)
        unmounted = stack.enter_context(contextlib.ExitStack())
        unmounted.callback(_detach, target, mounted)
        server = Server(tree, changes, device)
        stack.callback(server.close)
        stack.enter_context(_signals(server.stop))
        _release_signals()
        gone = _Gone(mounted, server.has_open_files)
        if server.run(gone, until_initialized=True):
            if ready is not None:
                ready()
            if not server.run(gone):
                unmounted.pop_all()  # it is unmounted: let go of the layers without delay


class _Gone:
    """Whether a file system is mounted nowhere any more in this mount namespace, and nothing of it is in use.

    The device itself says so when nobody else has it; a copy of the mount in another namespace hides that. What is open
    in a lazily unmounted one stays usable.
    """

    def __init__(self, device: bytes | None, in_use: Callable[[], bool]) -> None:
        self._device = device
        self._in_use = in_use

    def __call__(self) -> bool:
        return self._device is not None and self._device not in _devices().values() and not self._in_use()


def _devices() -> dict[bytes, bytes]:
    """``major:minor`` by mount id (proc_pid_mountinfo(5))."""
    with open("/proc/self/mountinfo", "rb") as table:
        rows = [line.split(b" ", 3) for line in table]
    return {row[0]: row[2] for row in rows}


def _mounted_device(target: str) -> bytes | None:
    """``major:minor`` of the topmost mount at ``target``."""
    escaped = os.fsencode(target)
    for raw, code in ((b"\\", b"\\134"), (b" ", b"\\040"), (b"\t", b"\\011"), (b"\n", b"\\012")):
        escaped = escaped.replace(raw, code)
    found = None
    with open("/proc/self/mountinfo", "rb") as table:
        for line in table:
            fields = line.split(b" ", 5)
            if fields[4] == escaped:
                found = fields[2]
    return found


def _detach(target: str, device: bytes | None) -> None:
    """Unmount if our mount is still the one at ``target``."""
    if device is None or _mounted_device(target) != device:
        return
    with contextlib.suppress(OSError, LaminaError):
        unmount_device(target, lazy=True)


@contextlib.contextmanager
def _process_settings() -> Iterator[None]:
    """No umask (the kernel sends each caller's), as many files as allowed, no searching for cycles in many nodes."""
    import resource

    umask = os.umask(0)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    collecting = gc.isenabled()
    gc.disable()
    gc.freeze()
    try:
        yield
    finally:
        os.umask(umask)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        gc.unfreeze()
        if collecting:
            gc.enable()


@contextlib.contextmanager
def _held_signals() -> Iterator[None]:
    """Stop signals wait until :func:`_release_signals`."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _release_signals() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP_SIGNALS)


@contextlib.contextmanager
def _signals(stop: Callable[[], None]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, lambda number, frame: stop()) for number in _STOP_SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def mount_in_background(options: MountOptions, mountpoint: str, *, timeout: float = 30) -> int:
    """Have a process of its own, in a session of its own, serve the union; its pid when the mount can be used.

    Raises :class:`SystemFailure` with what the process said when it could not.
    """
    import select
    import subprocess
    import sys

    from lamina import json

    arguments = json.dumps([mountpoint, {**options._asdict(), "dialect": options.dialect.value}])
    ours, theirs = os.pipe2(os.O_CLOEXEC)
    with open(ours, "rb") as answer:
        try:
            command = [sys.executable, "-I", "-m", "lamina.unionfs.fuse", str(theirs), str(os.getpid())]
            child = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(theirs,),
                start_new_session=True,
                cwd="/",
            )
        finally:
            os.close(theirs)
        assert child.stdin is not None
        with child.stdin:
            child.stdin.write(arguments.encode())
        readable, _, _ = select.select([answer], [], [], timeout)
        said = answer.read() if readable else b"no answer in time"
    if said == b"\0":
        child.returncode = 0  # the process is not ours to wait for
        return child.pid
    child.kill()
    child.wait()
    raise SystemFailure(said.decode(errors="replace") or "the server ended before the mount was ready")


def unmount(mountpoint: str, *, lazy: bool = False) -> None:
    """Unmount; its server ends by itself."""
    unmount_device(os.path.realpath(mountpoint), lazy=lazy)

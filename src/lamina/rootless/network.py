"""The network of a user's namespace: what the host's is for root's containers.

Bridges, rules and servers for names are made in it, as on a host. The way out is pasta's interface (passt.top), which
stands for the host's own: no rights on the host are needed. Its namespace is mounted at ``<runtime directory>/network``
in the user's mount namespace. A process gets in, and not out again: the host's network is not the user's to enter.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable

from lamina import signal
from lamina.contextlib import suppress
from lamina.errors import SystemFailure, Unsupported
from lamina.linux import daemon, mount, nftables, process
from lamina.linux.netlink import Rtnetlink
from lamina.rootless import namespace
from lamina.typing import TypeVar

_T = TypeVar("_T")

_NAME = "network"
_PASTA = ("/usr/bin/pasta", "/usr/local/bin/pasta", "/bin/pasta")
_TUNNEL = "/dev/net/tun"
_LOOPBACK = 1
#: No port of the host leads in, and none out to what listens on the host's loopback.
_CLOSED = ("--config-net", "--mtu", "1500", "--no-map-gw", "-t", "none", "-u", "none", "-T", "none", "-U", "none")
#: What pasta says on a host without a default route.
_OFFLINE = ("External interface not usable", "Couldn't pick external interface")
#: pasta sends segments without any flag, which belong to no connection: here they would be answered with a reset.
_RULES = """
add table inet lamina_way_out
add chain inet lamina_way_out input { type filter hook input priority 0; policy accept; }
add rule inet lamina_way_out input ct state invalid drop
"""


class NoWayOut(Unsupported):
    """Nothing can connect the user's network with the host's."""


def obstacle() -> str:
    """Why there can't be such a network; ``""`` when there can."""
    if _program() is None:
        return "containers' networks of an ordinary user need pasta: apt-get install passt"
    if not os.access(_TUNNEL, os.R_OK | os.W_OK):
        return f"containers' networks of an ordinary user need {_TUNNEL}: chmod 666 {_TUNNEL}"
    return ""


def enter() -> None:
    """Move the calling thread into the user's network; make it when it is not there. Does nothing inside.

    Raises :class:`NoWayOut`.
    """
    path = os.path.join(namespace.directory(), _NAME)
    with open(f"{path}.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _is_made(path):
            _make(path)
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if os.fstat(handle).st_ino != os.stat("/proc/thread-self/ns/net").st_ino:
            process.setns(handle, process.CLONE_NEWNET)
    finally:
        os.close(handle)


def inside(work: Callable[[], _T]) -> _T:
    """Do something in the user's network in a thread, while the caller stays outside. Raises what ``work`` raises."""

    def body() -> _T:
        enter()
        return work()

    return process.call_in_thread(body, "lamina-network")


def _program() -> str | None:
    return next((path for path in _PASTA if os.access(path, os.X_OK)), None)


def _is_made(path: str) -> bool:
    """Whether the namespace is there and pasta runs in it."""
    try:
        if not mount.is_mount_point(path):
            return False
        with open(f"{path}.pid", encoding="ascii") as file:
            pid = int(file.read())
        with open(f"/proc/{pid}/comm", encoding="ascii", errors="replace") as file:
            return file.read().startswith(("pasta", "passt"))
    except (OSError, ValueError):
        return False


def _make(path: str) -> None:
    problem = obstacle()
    if problem:
        raise NoWayOut(f"{problem}; without, there are --network none and --network host")
    if not mount.is_mount_point(path):
        _make_namespace(path)
    command = [str(_program()), "--quiet", *_CLOSED, "--pid", f"{path}.pid", "--netns", path]
    with suppress(FileNotFoundError):
        os.unlink(f"{path}.pid")
    pid = os.fork()
    if pid == 0:
        try:
            daemon.leave_caller("pasta", ())
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # pasta takes an ignored one for an error
            log = os.open(f"{path}.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            os.dup2(log, 2)
            os.execve(command[0], command, {})
        finally:
            os._exit(127)
    if os.waitpid(pid, 0)[1]:  # it goes into the background when it is ready
        with open(f"{path}.log", encoding="utf-8", errors="replace") as file:
            reason = file.read(2000).strip()
        if not any(words in reason for words in _OFFLINE):  # then there is nowhere to go: tried again the next time
            raise SystemFailure(f"pasta can't connect the user's network: {reason}")


def _make_namespace(path: str) -> None:
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
    pid = os.fork()
    if pid == 0:
        try:
            process.unshare(process.CLONE_NEWNET)
            with Rtnetlink() as links:
                links.set_up(_LOOPBACK)
            with suppress(nftables.NotAvailable):  # whoever puts a container here says so
                nftables.run(_RULES)
            mount.mount("/proc/self/ns/net", path, None, mount.MS_BIND)
            os._exit(0)
        finally:
            os._exit(1)
    if os.waitpid(pid, 0)[1]:
        raise SystemFailure("the network namespace of the user can't be made")

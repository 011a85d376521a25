"""The namespace of a user: made by the first command, kept by a process that sleeps, joined by all others.

All commands of a user work in one user and mount namespace, or none could reach into a container that another started.
``<runtime directory>/namespace`` names the keeper: its pid and the number of its user namespace, which a process that
was given the same pid later does not have.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Sequence

from lamina import signal
from lamina.contextlib import suppress
from lamina.errors import Denied, SystemFailure, Unsupported
from lamina.linux import daemon, mount, userns
from lamina.rootless import delegation, subordinate
from lamina.typing import NamedTuple, NoReturn

_NAME = "namespace"
_LIMIT = "/proc/sys/user/max_user_namespaces"
_SWITCH = "/proc/sys/kernel/unprivileged_userns_clone"
_SLEEP = ("/usr/bin/sleep", "/bin/sleep")
_TOOLS = ("/usr/bin", "/usr/local/bin", "/bin")


class NamespaceRefused(Denied):
    """The host does not let this user have a user namespace."""


class User(NamedTuple):
    """Who is to have the namespace.

    :ivar directory: for what lasts until the next reboot; the user's own, nobody else can write there.
    """

    name: str
    uid: int
    gid: int
    directory: str


#: Of the namespace that this process, or the one that it was forked from, has entered.
_entered: list[User] = []


def directory() -> str:
    """The runtime directory of the namespace that this process is in. Raises :class:`NamespaceRefused` outside."""
    if not _entered:
        raise NamespaceRefused("this process is in a user namespace that lamina did not make")
    return _entered[-1].directory


def enter(user: User) -> bool:
    """Move this process, which must have one thread, into the user's namespace; it is root there.

    Whether images' owners have ids there: only with subordinate ids.

    :raises NamespaceRefused: with the command that mends it.
    """
    lock = os.open(os.path.join(user.directory, f"{_NAME}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        keeper = _join_existing(user)
        if not keeper:
            keeper = _make(user)
            with suppress(SystemFailure, OSError):  # no limits then, as without a session
                delegation.make(keeper, user.uid)
            _join(keeper)
        delegation.use(keeper, user.uid)
    finally:
        os.close(lock)
    _entered.append(user)
    return userns.maps_range()


def _join_existing(user: User) -> int:
    """Join the namespace that another command made; its keeper's pid, 0 when there is none."""
    try:
        with open(os.path.join(user.directory, _NAME), encoding="ascii") as file:
            pid, number = map(int, file.read().split())
        handle = os.pidfd_open(pid)
    except (OSError, ValueError):
        return 0
    try:
        if _number(pid) != number:
            return 0
        userns.join(handle)
    except OSError:  # it ended just now, or is another's
        return 0
    finally:
        os.close(handle)
    return pid


def _join(pid: int) -> None:
    handle = os.pidfd_open(pid)
    try:
        userns.join(handle)
    finally:
        os.close(handle)


def _number(pid: int) -> int:
    return os.stat(f"/proc/{pid}/ns/user").st_ino


# Making


def _make(user: User) -> int:
    """Make the namespace; the keeper's pid."""
    _check_host()
    told, tell = os.pipe()
    wait, go = os.pipe()
    pid = os.fork()
    if pid == 0:
        _keep(tell, wait)
    os.close(tell)
    os.close(wait)
    try:
        problem = os.read(told, 4096).decode()
        if problem != "made":
            raise NamespaceRefused(f"this user can't make a user namespace: {problem or 'the process ended'}")
        _map(pid, user)
        os.write(go, b"\n")
        problem = os.read(told, 4096).decode()  # nothing once it has executed the program, which closes the pipe
        if problem:
            raise NamespaceRefused(f"this user's namespace can't be used: {problem}")
        temporary = os.path.join(user.directory, f"{_NAME}.new")
        with open(temporary, "w", encoding="ascii") as file:
            file.write(f"{pid} {_number(pid)}\n")
        os.replace(temporary, os.path.join(user.directory, _NAME))
    except BaseException:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise
    finally:
        os.close(told)
        os.close(go)
    return pid


def _keep(tell: int, wait: int) -> NoReturn:
    """In the child: make the namespaces, wait for the ids, then sleep for good."""
    try:
        daemon.leave_caller("lamina-keeper", {tell, wait})
        try:
            userns.make()
        except OSError as error:
            os.write(tell, str(error.strerror).encode())
            os._exit(1)
        os.write(tell, b"made")
        if not os.read(wait, 1):
            os._exit(1)
        try:
            mount.set_propagation("/", mount.MS_REC | mount.MS_SLAVE)
        except OSError as error:  # as where AppArmor lets ordinary users have namespaces without rights
            os.write(tell, str(error.strerror).encode())
            os._exit(1)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # the end of the user's session may end it
        for program in _SLEEP:
            if os.path.exists(program):
                os.execve(program, ["sleep", "infinity"], {})
    finally:
        os._exit(1)


def _check_host() -> None:
    for path, remedy in ((_SWITCH, "kernel.unprivileged_userns_clone=1"), (_LIMIT, "user.max_user_namespaces=15000")):
        with suppress(FileNotFoundError), open(path, encoding="ascii") as file:
            if file.read().strip() == "0":
                raise NamespaceRefused(f"this host allows ordinary users no user namespaces: sysctl -w {remedy}")


def _map(pid: int, user: User) -> None:
    uids = subordinate.ranges(subordinate.SUBUID, user.name, user.uid)
    gids = subordinate.ranges(subordinate.SUBGID, user.name, user.uid)
    if not uids or not gids:
        for name, content in (("setgroups", "deny"), ("uid_map", f"0 {user.uid} 1"), ("gid_map", f"0 {user.gid} 1")):
            with open(f"/proc/{pid}/{name}", "w", encoding="ascii") as file:
                file.write(content)
        return
    for tool, own, given in (("newuidmap", user.uid, uids), ("newgidmap", user.gid, gids)):
        _run(tool, [str(pid), *map(str, subordinate.mapping(own, given))])


def _run(tool: str, arguments: Sequence[str]) -> None:
    path = next((path for path in (f"{place}/{tool}" for place in _TOOLS) if os.access(path, os.X_OK)), None)
    if path is None:
        raise Unsupported(f"{tool} is not installed: apt-get install uidmap")
    status = os.waitstatus_to_exitcode(os.waitpid(os.posix_spawn(path, [tool, *arguments], {}), 0)[1])
    if status != 0:
        raise SystemFailure(f"{tool} {' '.join(arguments)} ended with status {status}: see /etc/subuid and /etc/subgid")

"""A process's place in the kernel: parent death signal, subreaper, capabilities, namespaces."""

from __future__ import annotations

import errno
import os
from _thread import allocate_lock
from collections.abc import Callable

from lamina.linux import ctypes
from lamina.linux.libc import LIBC, check
from lamina.typing import TypeVar

_T = TypeVar("_T")

# Documentation/admin-guide/LSM/apparmor.rst
_APPARMOR_ENABLED = "/sys/module/apparmor/parameters/enabled"
_APPARMOR = "/sys/kernel/security/apparmor"

# linux/prctl.h
_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_PR_CAPBSET_READ = 23
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38

# linux/sched.h
CLONE_FS = 0x00000200
CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

#: In the order of the bit numbers of ``linux/capability.h``.
_CAPABILITY_NAMES = (
    "CAP_CHOWN CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH CAP_FOWNER CAP_FSETID CAP_KILL CAP_SETGID CAP_SETUID CAP_SETPCAP "
    "CAP_LINUX_IMMUTABLE CAP_NET_BIND_SERVICE CAP_NET_BROADCAST CAP_NET_ADMIN CAP_NET_RAW CAP_IPC_LOCK CAP_IPC_OWNER "
    "CAP_SYS_MODULE CAP_SYS_RAWIO CAP_SYS_CHROOT CAP_SYS_PTRACE CAP_SYS_PACCT CAP_SYS_ADMIN CAP_SYS_BOOT CAP_SYS_NICE "
    "CAP_SYS_RESOURCE CAP_SYS_TIME CAP_SYS_TTY_CONFIG CAP_MKNOD CAP_LEASE CAP_AUDIT_WRITE CAP_AUDIT_CONTROL "
    "CAP_SETFCAP CAP_MAC_OVERRIDE CAP_MAC_ADMIN CAP_SYSLOG CAP_WAKE_ALARM CAP_BLOCK_SUSPEND CAP_AUDIT_READ "
    "CAP_PERFMON CAP_BPF CAP_CHECKPOINT_RESTORE"
)
#: Names by bit number.
CAPABILITIES = tuple(_CAPABILITY_NAMES.split())


def _prctl(option: int, argument: int) -> int:
    unused = ctypes.c_ulong(0)
    return check(int(LIBC.prctl(option, ctypes.c_ulong(argument), unused, unused, unused)))


def set_parent_death_signal(signal: int, *, parent: int | None = None) -> None:
    """Ask for ``signal`` when the thread that forked this process ends; 0 takes it back.

    With ``parent`` (the expected parent's pid) the signal is also sent when it has died already: between ``fork`` and
    this call nobody would tell. Lost on exec of a set-user-id program.
    """
    _prctl(_PR_SET_PDEATHSIG, signal)
    if parent is not None and os.getppid() != parent:
        os.kill(os.getpid(), signal)


def set_child_subreaper(enable: bool = True) -> None:
    """Become the parent of descendants whose own parents die, as a container's monitor must."""
    _prctl(_PR_SET_CHILD_SUBREAPER, int(enable))


def set_no_new_privileges() -> None:
    """Never gain privileges by exec again; cannot be undone."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def set_name(name: str) -> None:
    """Name of the calling thread in ``ps``; 15 bytes count."""
    check(int(LIBC.prctl(_PR_SET_NAME, ctypes.c_char_p(name.encode()[:15]), 0, 0, 0)))


def _capability_set(field: str) -> frozenset[str]:
    with open("/proc/thread-self/status", encoding="utf-8", errors="replace") as status:
        for line in status:
            if line.startswith(field):
                bits = int(line.split()[1], 16)
                return frozenset(name for bit, name in enumerate(CAPABILITIES) if bits >> bit & 1)
    return frozenset()


def effective_capabilities() -> frozenset[str]:
    """Names (``CAP_SYS_ADMIN``) that the calling thread may use now."""
    return _capability_set("CapEff:")


def permitted_capabilities() -> frozenset[str]:
    """Names that the calling thread may take up."""
    return _capability_set("CapPrm:")


def bounding_capabilities() -> frozenset[str]:
    """Names that anything executed from here can ever have."""
    return _capability_set("CapBnd:")


def has_apparmor() -> bool:
    """Whether the kernel confines by AppArmor, and its files are here to ask it (as Docker decides)."""
    try:
        with open(_APPARMOR_ENABLED, "rb") as file:
            return file.read(1) == b"Y" and os.path.isdir(_APPARMOR)
    except OSError:  # a kernel without it
        return False


def umask() -> int:
    """The process's umask, without changing it as umask(2) must (proc_pid_status(5))."""
    with open("/proc/self/status", "rb") as file:
        for line in file:
            if line.startswith(b"Umask:"):
                return int(line[6:], 8)
    return 0o777  # not known: every bit may be taken away


def unshare(flags: int) -> None:
    """Give the calling thread namespaces (or, with ``CLONE_FS``, a working directory) of its own."""
    check(int(LIBC.unshare(flags)))


def setns(descriptor: int, kind: int = 0) -> None:
    """Move the calling thread into the namespace (or a pidfd's namespaces of ``kind``) behind ``descriptor``."""
    check(int(LIBC.setns(descriptor, kind)), descriptor)


def opened_of_child(enter: Callable[[], None], namespace: str, prepare: Callable[[int], None] | None = None) -> int:
    """A descriptor of the namespace ``/proc/<pid>/ns/<namespace>`` that a child is in after ``enter``.

    For what a process with threads, or one that wants to stay where it is, can't do itself. The child does nothing else
    and is gone afterwards.

    :param prepare: called with the child's pid before the namespace is opened.
    :raises OSError: what ``enter`` raised in the child, or ``prepare`` here.
    """
    told, tell = os.pipe2(os.O_CLOEXEC)
    wait, go = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.close(go)
            enter()
            os.write(tell, b"0")
            os.read(wait, 1)  # until the other end is closed
            code = 0
        except OSError as error:
            os.write(tell, str(error.errno).encode())
        finally:
            os._exit(code)
    os.close(tell)
    os.close(wait)
    try:
        number = int(os.read(told, 16) or errno.ESRCH)
        if number:
            raise OSError(number, os.strerror(number), namespace)
        if prepare is not None:
            prepare(pid)
        return os.open(f"/proc/{pid}/ns/{namespace}", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(told)
        os.close(go)
        os.waitpid(pid, 0)


def call_in_thread(function: Callable[[], _T], name: str) -> _T:
    """Run ``function`` in a thread of its own and wait for it: what it unshares or enters, which can't be undone, ends
    with the thread. What ``function`` raises is raised here.

    An interruption waits for its end too: whoever undoes what was done must not be overtaken by it.
    """
    from threading import Thread

    results: list[_T] = []
    errors: list[BaseException] = []
    done = allocate_lock()
    done.acquire()

    def body() -> None:
        try:
            results.append(function())
        except BaseException as error:
            errors.append(error)
        finally:
            done.release()

    thread = Thread(target=body, name=name)
    thread.start()
    interruption: BaseException | None = None
    while not (results or errors):
        try:
            done.acquire()  # an interrupted Thread.join would take the thread for one that has ended
        except BaseException as error:
            interruption = error
    thread.join()
    if interruption is not None:
        raise interruption
    if errors:
        raise errors[0]
    return results[0]


def call_in_directory(directory: str, function: Callable[[], _T]) -> _T:
    """Run ``function`` with ``directory`` as working directory while the rest of the process keeps its own."""

    def body() -> _T:
        unshare(CLONE_FS)
        os.chdir(directory)
        return function()

    return call_in_thread(body, "lamina-directory")

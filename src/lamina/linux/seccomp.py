"""Compiling a seccomp profile to the program that the kernel runs, with libseccomp.

Constants and the layout of ``struct scmp_arg_cmp``: libseccomp's ``seccomp.h``.
"""

from __future__ import annotations

import os

from lamina.linux import ctypes
from lamina.linux.libc import failure
from lamina.typing import Any

_LIBRARY = "libseccomp.so.2"

_ACTIONS = {
    "SCMP_ACT_KILL": 0x00000000,
    "SCMP_ACT_KILL_THREAD": 0x00000000,
    "SCMP_ACT_KILL_PROCESS": 0x80000000,
    "SCMP_ACT_TRAP": 0x00030000,
    "SCMP_ACT_ERRNO": 0x00050000,
    "SCMP_ACT_TRACE": 0x7FF00000,
    "SCMP_ACT_LOG": 0x7FFC0000,
    "SCMP_ACT_ALLOW": 0x7FFF0000,
}
#: Actions whose low 16 bits are a number of the profile's.
_WITH_NUMBER = frozenset(("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE"))
_OPERATORS = {
    "SCMP_CMP_NE": 1,
    "SCMP_CMP_LT": 2,
    "SCMP_CMP_LE": 3,
    "SCMP_CMP_EQ": 4,
    "SCMP_CMP_GE": 5,
    "SCMP_CMP_GT": 6,
    "SCMP_CMP_MASKED_EQ": 7,
}
_EPERM = 1
_EEXIST = 17
_NO_SUCH_CALL = -1
#: ``SCMP_FLTATR_CTL_OPTIMIZE``, and its value for a binary tree of system calls: the kernel tries each of them when the
#: filter is installed, which takes it half the time then. Libraries before 2.5 don't know it.
_OPTIMIZE, _AS_TREE = 8, 2


class NotCompilable(Exception):
    """The library is missing, or the profile has something that is left to the runtime."""


class _Comparison(ctypes.Structure):
    _fields_ = (
        ("argument", ctypes.c_uint),
        ("operator", ctypes.c_int),
        ("first", ctypes.c_uint64),
        ("second", ctypes.c_uint64),
    )


class _Version(ctypes.Structure):
    _fields_ = (("major", ctypes.c_uint), ("minor", ctypes.c_uint), ("micro", ctypes.c_uint))


def compile_profile(profile: dict[str, Any], *, as_tree: bool = True) -> bytes:
    """The BPF program (an array of ``struct sock_filter``) of a runtime-spec ``linux.seccomp`` object.

    :param as_tree: look system calls up in a tree, where the library can; else one after the other.
    :raises NotCompilable:
    """
    library = _load()
    context = library.seccomp_init(_action(profile["defaultAction"], profile.get("defaultErrnoRet")))
    if not context:
        raise NotCompilable("seccomp_init failed")
    try:
        for name in profile.get("architectures") or ():
            _add_architecture(library, context, name)
        for rule in profile.get("syscalls") or ():
            _add_rule(library, context, rule)
        if as_tree:
            library.seccomp_attr_set(context, _OPTIMIZE, _AS_TREE)
        return _export(library, context)
    finally:
        library.seccomp_release(context)


def _load() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL(_LIBRARY, use_errno=True)
    except OSError as error:
        raise NotCompilable(str(error)) from error
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_init.argtypes = (ctypes.c_uint32,)
    library.seccomp_release.argtypes = (ctypes.c_void_p,)
    library.seccomp_release.restype = None
    library.seccomp_arch_resolve_name.restype = ctypes.c_uint32
    library.seccomp_arch_add.argtypes = (ctypes.c_void_p, ctypes.c_uint32)
    library.seccomp_rule_add_array.argtypes = (
        ctypes.c_void_p,
        ctypes.c_uint32,
        ctypes.c_int,
        ctypes.c_uint,
        ctypes.POINTER(_Comparison),
    )
    library.seccomp_attr_set.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_uint32)
    library.seccomp_export_bpf.argtypes = (ctypes.c_void_p, ctypes.c_int)
    library.seccomp_version.restype = ctypes.POINTER(_Version)
    return library


def library_version() -> str:
    """``2.5.4``. Raises :class:`NotCompilable`."""
    version = _load().seccomp_version().contents
    return f"{version.major}.{version.minor}.{version.micro}"


def _action(name: str, number: int | None) -> int:
    if name not in _ACTIONS:
        raise NotCompilable(f"action {name}")
    if name not in _WITH_NUMBER:
        return _ACTIONS[name]
    return _ACTIONS[name] | ((_EPERM if number is None else number) & 0xFFFF)


def _add_architecture(library: ctypes.CDLL, context: int, name: str) -> None:
    token = library.seccomp_arch_resolve_name(name.removeprefix("SCMP_ARCH_").lower().encode())
    if token == 0:
        raise NotCompilable(f"architecture {name}")
    result = library.seccomp_arch_add(context, token)
    if result not in (0, -_EEXIST):
        raise NotCompilable(f"architecture {name}: {os.strerror(-result)}")


def _add_rule(library: ctypes.CDLL, context: int, rule: dict[str, Any]) -> None:
    arguments = rule.get("args") or ()
    if len({argument["index"] for argument in arguments}) != len(arguments):
        raise NotCompilable("two conditions on one argument")
    comparisons = (_Comparison * len(arguments))(*(_Comparison(*_comparison(argument)) for argument in arguments))
    action = _action(rule["action"], rule.get("errnoRet"))
    for name in rule["names"]:
        number = library.seccomp_syscall_resolve_name(name.encode())
        if number == _NO_SUCH_CALL:
            continue  # newer than the library: the default action applies, as it does with every runtime
        result = library.seccomp_rule_add_array(context, action, number, len(arguments), comparisons)
        if result != 0:
            raise NotCompilable(f"system call {name}: {os.strerror(-result)}")


def _comparison(argument: dict[str, Any]) -> tuple[int, int, int, int]:
    return argument["index"], _OPERATORS[argument["op"]], argument["value"], argument.get("valueTwo") or 0


def _export(library: ctypes.CDLL, context: int) -> bytes:
    descriptor = os.memfd_create("seccomp", os.MFD_CLOEXEC)
    try:
        if library.seccomp_export_bpf(context, descriptor) != 0:
            raise NotCompilable(str(failure()))
        return os.pread(descriptor, os.fstat(descriptor).st_size, 0)
    finally:
        os.close(descriptor)

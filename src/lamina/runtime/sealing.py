"""A runtime's program in memory, sealed, so that it need not protect itself each time.

A container must not be able to write to the runtime that starts it (CVE-2019-5736). crun therefore looks what it runs
from, and unless nobody can write to that, makes a read-only mount of itself and executes it again: 2 ms for every
container. A copy in a sealed memory file (memfd_create(2)) is what it takes for safe at once.
"""

import fcntl
import os

from lamina.runtime.program import RuntimeProgram

#: ``F_ADD_SEALS``, and all seals of fcntl(2): crun asks for exactly these.
_ADD_SEALS = 1033
_SEALS = 0x1 | 0x2 | 0x4 | 0x8
#: memfd_create(2): may be executed even where ``vm.memfd_noexec`` is 1. Kernels before 6.3 don't know it.
_MFD_EXEC = 0x10
#: Above the descriptors that a runtime is given.
_FIRST = 10


class SealedProgram(RuntimeProgram):
    """A copy of a runtime."""

    def __init__(self, original: RuntimeProgram, descriptor: int) -> None:
        super().__init__(original.name, f"/proc/self/fd/{descriptor}")
        self.original = original
        self.descriptor = descriptor


def sealed(runtime: RuntimeProgram) -> RuntimeProgram:
    """A copy of ``runtime`` that lives as long as this process, unless it is given to :func:`released`; ``runtime``
    itself where a copy can't be made, or is of no use to it."""
    if runtime.name != "crun":
        return runtime
    try:
        descriptor = _copy(runtime.path)
    except OSError:  # of memory there is none, or none may be executed
        return runtime
    return SealedProgram(runtime, descriptor)


def released(runtime: RuntimeProgram) -> RuntimeProgram:
    """What ``runtime`` is a copy of, and the copy's memory is given back; ``runtime`` itself when it is none."""
    if not isinstance(runtime, SealedProgram):
        return runtime
    os.close(runtime.descriptor)
    return runtime.original


def _copy(path: str) -> int:
    """A descriptor of a sealed copy of the program at ``path``. Raises :class:`OSError`."""
    memory = _memory()
    try:
        source = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            while os.sendfile(memory, source, None, 1 << 30):
                pass
        finally:
            os.close(source)
        fcntl.fcntl(memory, _ADD_SEALS, _SEALS)
        descriptor = fcntl.fcntl(memory, fcntl.F_DUPFD_CLOEXEC, _FIRST)
    finally:
        os.close(memory)
    if not os.access(f"/proc/self/fd/{descriptor}", os.X_OK):  # vm.memfd_noexec is 2
        os.close(descriptor)
        raise PermissionError("memory files can't be executed")
    return descriptor


def _memory() -> int:
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    try:
        return os.memfd_create("runtime", flags | _MFD_EXEC)
    except OSError:
        return os.memfd_create("runtime", flags)

"""A file with the bytecode of all modules: frequent commands load theirs from it in two thirds of the time.

Finding a module, checking its cache and reading it takes Python about as long as running it, and a command like ``run``
loads more than a hundred. ``make setup`` writes the file, and the script that it installs uses it. A module whose
source is not what it was when the file was written is loaded as always.

Format: length of the index (4 bytes, little endian), index, the modules' code; both as :mod:`marshal` writes them.
"""

from __future__ import annotations

import marshal
import os
import sys

from lamina.typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.machinery import ModuleSpec
    from types import ModuleType

_VERSION = 1
_STANDARD = """
    __future__ collections collections.abc contextlib copyreg ctypes ctypes._endian enum functools importlib json
    json.decoder json.encoder json.scanner keyword operator re re._casefix re._compiler re._constants re._parser reprlib
    signal struct types warnings
""".split()  # noqa: SIM905 - a list of thirty quoted names reads worse
_LENGTH_BYTES = 4


class Found(NamedTuple):
    """A module's place in the file, and the source that it was made of."""

    offset: int
    length: int
    path: str
    modified: int
    size: int
    is_package: bool


def _interpreter() -> tuple[Any, ...]:
    """What the code in the file is good for."""
    return _VERSION, sys.implementation.cache_tag, sys.version, sys.flags.optimize


def write(path: str) -> int:
    """Write the file; how many modules are in it. Raises :class:`OSError`."""
    index: dict[str, tuple[Any, ...]] = {}
    codes = []
    offset = 0
    for name, source in _sources():
        before = os.stat(source)
        with open(source, "rb") as file:
            code = marshal.dumps(compile(file.read(), source, "exec", dont_inherit=True))
        is_package = source.endswith("__init__.py")
        index[name] = (offset, len(code), source, before.st_mtime_ns, before.st_size, is_package)
        codes.append(code)
        offset += len(code)
    head = marshal.dumps((_interpreter(), index))
    new = f"{path}.new"
    with open(new, "wb") as file:
        file.write(len(head).to_bytes(_LENGTH_BYTES, "little") + head)
        file.writelines(codes)
    os.replace(new, path)
    return len(index)


def _sources() -> Iterator[tuple[str, str]]:
    """Names and files of lamina's modules, and of those that nearly every command needs of the standard library."""
    home = os.path.dirname(os.path.abspath(__file__))
    for directory, _, names in os.walk(home):
        package = os.path.relpath(directory, os.path.dirname(home)).replace(os.sep, ".")
        for name in names:
            if name == "__init__.py":
                yield package, os.path.join(directory, name)
            elif name.endswith(".py"):
                yield f"{package}.{name[:-3]}", os.path.join(directory, name)
    for name in _STANDARD:
        source = getattr(__import__(name, fromlist=["*"]), "__file__", None)
        if source and source.endswith(".py"):
            yield name, source


def install(path: str) -> bool:
    """Load modules from the file from now on; whether it is there, and this interpreter's."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        here = os.fstat(descriptor)
        length = int.from_bytes(os.read(descriptor, _LENGTH_BYTES), "little")
        interpreter, index = marshal.loads(os.read(descriptor, length))  # noqa: S302 - from beside the program
    except (OSError, EOFError, ValueError, TypeError):
        return False
    finally:
        os.close(descriptor)
    if interpreter != _interpreter():
        return False
    sys.meta_path.insert(0, Finder(path, here, _LENGTH_BYTES + length, index))
    return True


class Finder:
    """Finds modules in the file, and loads them. Keeps nothing open: a monitor closes what it does not know."""

    def __init__(self, path: str, here: os.stat_result, start: int, index: dict[str, tuple[Any, ...]]) -> None:
        self._path = path
        self._here = here.st_ino, here.st_mtime_ns
        self._start = start
        self._index = index

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """See :class:`importlib.abc.MetaPathFinder`."""
        entry = self._index.get(name)
        if entry is None:
            return None
        found = Found(*entry)
        code = self._read(found)
        if code is None:
            return None
        kind: type[ModuleSpec] = type(sys.__spec__)  # importing its own module takes a while
        spec = kind(name, self, origin=found.path, loader_state=code, is_package=found.is_package)  # type: ignore[arg-type] # all of a loader that is used
        spec.has_location = True
        if found.is_package:
            spec.submodule_search_locations = [os.path.dirname(found.path)]
        return spec

    def _read(self, found: Found) -> bytes | None:
        """The code; ``None`` when the source or the file is another than it was."""
        try:
            source = os.stat(found.path)
            if (source.st_mtime_ns, source.st_size) != (found.modified, found.size):
                return None
            descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            here = os.fstat(descriptor)
            if (here.st_ino, here.st_mtime_ns) != self._here:
                return None
            return os.pread(descriptor, found.length, self._start + found.offset)
        finally:
            os.close(descriptor)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """See :class:`importlib.abc.Loader`."""
        return None

    def exec_module(self, module: ModuleType) -> None:
        """See :class:`importlib.abc.Loader`."""
        assert module.__spec__ is not None
        code = marshal.loads(module.__spec__.loader_state)  # noqa: S302 - as above
        module.__spec__.loader_state = None
        exec(code, module.__dict__)  # noqa: S102 - this is how a module is loaded

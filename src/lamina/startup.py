"""A file with the bytecode of all modules: frequent commands load theirs from it in two thirds of the time.

Finding a module, checking its cache and reading it takes Python about as long as running it, and a command like ``run``
loads more than a hundred. ``make setup`` writes the file, and the script that it installs uses it. A module whose
source is not what it was when the file was written is loaded as always.

A monitor keeps for as long as its container lives what it was loaded with, so the code is without docstrings and
without columns in its tables of lines, and the index is small.

Format: records, each a length (4 bytes, little endian) and an object as :mod:`marshal` writes it. The first is what the
code is good for and the index, names of modules with the places of their records behind it. Each of the others is a
module: path, time and size of its source, whether it is a package, the names of modules in the file that it imports
first of all, and its code.
"""

from __future__ import annotations

import marshal
import os
import sys
from _thread import _count

from lamina.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from importlib.machinery import ModuleSpec
    from types import CodeType, ModuleType

_VERSION = 3
_OTHERS = """
    __future__ _weakrefset base64 collections collections.abc contextlib copyreg ctypes ctypes._endian enum functools
    hashlib heapq importlib ipaddress json json.decoder json.encoder json.scanner keyword operator queue re re._casefix
    re._compiler re._constants re._parser reprlib selectors signal socket struct threading types urllib urllib.parse
    warnings

    fastcrc fastcrc.crc8 fastcrc.crc16 fastcrc.crc32 fastcrc.crc64 fastcrc.__info__ isal isal._version isal.igzip_lib

    urllib3 urllib3._base_connection urllib3._collections urllib3._request_methods urllib3._version urllib3.connection
    urllib3.connectionpool urllib3.exceptions urllib3.fields urllib3.filepost urllib3.http2 urllib3.http2.probe
    urllib3.poolmanager urllib3.response urllib3.util urllib3.util.connection urllib3.util.proxy urllib3.util.request
    urllib3.util.response urllib3.util.retry urllib3.util.ssl_ urllib3.util.ssl_match_hostname urllib3.util.ssltransport
    urllib3.util.timeout urllib3.util.url urllib3.util.util urllib3.util.wait

    _compression bisect bz2 calendar csv datetime email email._encoded_words email._parseaddr email._policybase
    email.base64mime email.charset email.encoders email.errors email.feedparser email.header email.iterators
    email.message email.parser email.quoprimime email.utils fnmatch hmac http http.client importlib.metadata
    importlib.metadata._adapters importlib.metadata._collections importlib.metadata._functools
    importlib.metadata._itertools importlib.metadata._meta importlib.metadata._text linecache locale logging lzma
    mimetypes pathlib quopri random shutil ssl string tempfile textwrap token tokenize traceback typing weakref zipfile
""".split()  # noqa: SIM905 - a list of so many quoted names reads worse
_LENGTH_BYTES = 4
#: What reading a damaged file raises.
_UNREADABLE = OSError, EOFError, ValueError, TypeError


def _interpreter() -> tuple[Any, ...]:
    """What the code in the file is good for."""
    return _VERSION, sys.implementation.cache_tag, sys.version, sys.flags.optimize


def write(path: str) -> int:
    """Write the file; how many modules are in it. Raises :class:`OSError`.

    Columns are left out when the interpreter runs with ``-X no_debug_ranges``.
    """
    index: dict[str, int] = {}
    records = []
    offset = 0
    sources = dict(_sources())
    for name, source in sources.items():
        before = os.stat(source)
        with open(source, "rb") as file:
            text = file.read()
        is_package = source.endswith("__init__.py")
        needs = tuple(one for one in _imports(text, source) if one in sources and one != name)
        record = _encode((source, before.st_mtime_ns, before.st_size, is_package, needs, _compile(text, source)))
        index[name] = offset
        records.append(record)
        offset += len(record)
    new = f"{path}.new"
    with open(new, "wb") as file:
        file.write(_encode((_interpreter(), index)))
        file.writelines(records)
    os.replace(new, path)
    return len(index)


def _compile(source: bytes, path: str) -> CodeType:
    """As ``-OO`` does it, but with assertions, and without what functions and modules say about types."""
    import ast  # for the writer only

    class Shorter(ast.NodeTransformer):
        """Classes keep their annotations: those of named tuples are their members."""

        def generic_visit(self, node: ast.AST) -> ast.AST:
            super().generic_visit(node)
            if (
                isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
                and ast.get_docstring(node, clean=False) is not None
            ):
                first, *others = node.body
                node.body = others or [ast.copy_location(ast.Pass(), first)]
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                node.returns = None
            elif isinstance(node, ast.arg):
                node.annotation = None
            elif isinstance(node, ast.Module):
                node.body = [_untyped(statement) for statement in node.body]
            return node

    def _untyped(node: ast.stmt) -> ast.stmt:
        if isinstance(node, ast.AnnAssign) and node.value is not None:
            return ast.copy_location(ast.Assign([node.target], node.value), node)
        return node

    tree = Shorter().visit(ast.parse(source, path))
    code: CodeType = compile(tree, path, "exec", dont_inherit=True)
    return code


def _imports(source: bytes, path: str) -> Iterator[str]:
    """What may be modules of those that are imported before anything else is done, in order.

    Only these come to the same when they are loaded before the module itself: what stands further down may need what is
    between, as modules do that import one another.
    """
    import ast

    for node in ast.parse(source, path).body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
            return


def _encode(value: Any) -> bytes:
    data = marshal.dumps(value)
    return len(data).to_bytes(_LENGTH_BYTES, "little") + data


def _read(descriptor: int, offset: int) -> tuple[Any, int]:
    """What stands at ``offset``, and where it ends. Raises :data:`_UNREADABLE`."""
    length = int.from_bytes(os.pread(descriptor, _LENGTH_BYTES, offset), "little")
    offset += _LENGTH_BYTES
    return marshal.loads(os.pread(descriptor, length, offset)), offset + length  # noqa: S302 - from beside the program


def _sources() -> Iterator[tuple[str, str]]:
    """Names and files of lamina's modules, and of those that frequent commands need of the libraries."""
    home = os.path.dirname(os.path.abspath(__file__))
    for directory, _, names in os.walk(home):
        package = os.path.relpath(directory, os.path.dirname(home)).replace(os.sep, ".")
        for name in names:
            if name == "__init__.py":
                yield package, os.path.join(directory, name)
            elif name.endswith(".py"):
                yield f"{package}.{name[:-3]}", os.path.join(directory, name)
    for name in _OTHERS:
        try:
            source = getattr(__import__(name, fromlist=["*"]), "__file__", None)
        except ModuleNotFoundError:
            continue  # another version of Python has it elsewhere
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
        (interpreter, index), start = _read(descriptor, 0)
    except _UNREADABLE:
        return False
    finally:
        os.close(descriptor)
    if interpreter != _interpreter():
        return False
    sys.meta_path.insert(0, Finder(path, here, start, index))
    if "collections" in index and "_collections_abc" in sys.modules:
        # The same classes, which "os" has loaded already: their usual name alone would load all of "collections".
        sys.modules.setdefault("collections.abc", sys.modules["_collections_abc"])
    return True


class Finder:
    """Finds modules in the file, and loads them.

    While there is one thread, what a module begins with importing is loaded before it without :mod:`importlib`, whose
    locks and searches take as long as small modules do. Nothing is kept open: a monitor closes what it does not know.
    """

    def __init__(self, path: str, here: os.stat_result, start: int, index: dict[str, int]) -> None:
        self._path = path
        self._here = here.st_ino, here.st_mtime_ns
        self._start = start
        self._index = index
        # Of the file, while modules are loaded for others.
        self._descriptor = -1

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """See :class:`importlib.abc.MetaPathFinder`."""
        offset = self._index.get(name)
        return None if offset is None else self._specification(name, offset)

    def _specification(self, name: str, offset: int) -> ModuleSpec | None:
        """``None`` when the source or the file is another than it was."""
        opened = -1
        descriptor = self._descriptor
        try:
            if descriptor < 0:
                descriptor = opened = self._open()
            path, modified, size, is_package, needs, code = _read(descriptor, self._start + offset)[0]
            source = os.stat(path)
        except _UNREADABLE:
            return None
        finally:
            if opened >= 0:
                os.close(opened)
        if (source.st_mtime_ns, source.st_size) != (modified, size):
            return None
        kind: type[ModuleSpec] = type(sys.__spec__)  # importing its own module takes a while
        spec = kind(name, self, origin=path, loader_state=(needs, code), is_package=is_package)  # type: ignore[arg-type] # all of a loader that is used
        if is_package:
            spec.submodule_search_locations = [os.path.dirname(path)]
        return spec

    def _open(self) -> int:
        """Raises :data:`_UNREADABLE` when it is another file."""
        descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        here = os.fstat(descriptor)
        if (here.st_ino, here.st_mtime_ns) != self._here:
            os.close(descriptor)
            raise EOFError(self._path)
        return descriptor

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """See :class:`importlib.abc.Loader`."""
        return None

    def exec_module(self, module: ModuleType) -> None:
        """See :class:`importlib.abc.Loader`."""
        assert module.__spec__ is not None
        needs, code = module.__spec__.loader_state
        module.__spec__.loader_state = None
        module.__file__ = module.__spec__.origin  # "has_location" would do it, and find out where a cache would be
        if needs and not _count():
            self._load_all(needs)
        exec(code, module.__dict__)  # noqa: S102 - this is how a module is loaded
        if module.__name__ == "collections":
            module.abc = sys.modules["collections.abc"]  # type: ignore[attr-defined] # as a package has its modules

    def _load_all(self, names: Sequence[str]) -> None:
        if self._descriptor >= 0:
            for name in names:
                if name not in sys.modules:
                    self._load(name)
            return
        try:
            self._descriptor = self._open()
        except _UNREADABLE:
            return
        try:
            self._load_all(names)
        finally:
            os.close(self._descriptor)
            self._descriptor = -1

    def _load(self, name: str) -> None:
        """What ``import`` would do with a module that has not been loaded; nothing where that is not as simple."""
        parent, _, child = name.rpartition(".")
        if parent and parent not in sys.modules:
            self._load(parent)
        above = sys.modules.get(parent)
        spec = (
            None
            if name not in self._index or (parent and above is None)
            else self._specification(name, self._index[name])
        )
        if spec is None:
            return
        module = type(sys)(name)
        module.__spec__ = spec
        module.__loader__ = self  # type: ignore[assignment]
        module.__package__ = spec.parent
        if spec.submodule_search_locations is not None:
            module.__path__ = spec.submodule_search_locations
        sys.modules[name] = module
        try:
            self.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
        if above is not None:
            setattr(above, child, module)

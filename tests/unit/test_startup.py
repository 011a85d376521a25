"""The file of bytecode: what is loaded from it is what would be loaded without it."""

from __future__ import annotations

import collections
import importlib.util
import marshal
import os
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

import lamina
from lamina import startup

_SOURCES = str(Path(lamina.__file__).parents[1])
_PROGRAM = """
import sys
sys.path.insert(0, sys.argv[1])
from lamina.startup import install
print(install(sys.argv[2]))
import one, lamina.cli.main
print(one.VALUE, one.__file__, type(one.__spec__.loader).__name__, type(lamina.cli.main.__spec__.loader).__name__)
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with a module ``one``, and ``file``, which has it and the front."""
    (tmp_path / "one.py").write_text("VALUE = 'first'\n")
    front = f"{_SOURCES}/lamina/cli/main.py"

    def sources() -> Iterator[tuple[str, str]]:
        yield "one", str(tmp_path / "one.py")
        yield "lamina.cli.main", front

    monkeypatch.setattr(startup, "_sources", sources)
    assert startup.write(str(tmp_path / "file")) == 2
    return tmp_path


def load(home: Path) -> list[str]:
    environment = {**os.environ, "PYTHONPATH": str(home)}
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, _SOURCES, str(home / "file")],
        capture_output=True,
        text=True,
        env=environment,
        check=True,
    )
    return done.stdout.split()


def test_modules_come_from_the_file(home: Path) -> None:
    assert load(home) == ["True", "first", str(home / "one.py"), "Finder", "Finder"]


def test_a_module_that_has_changed_is_loaded_from_its_source(home: Path) -> None:
    (home / "one.py").write_text("VALUE = 'second'\n")
    assert load(home) == ["True", "second", str(home / "one.py"), "SourceFileLoader", "Finder"]


@pytest.mark.parametrize("content", [b"", b"\xff", b"\x04\0\0\0abcd", b"\xff\xff\xff\x7f" + marshal.dumps((1, {}))])
def test_a_damaged_file_is_no_file(home: Path, content: bytes) -> None:
    (home / "file").write_bytes(content)
    assert load(home) == ["False", "first", str(home / "one.py"), "SourceFileLoader", "SourceFileLoader"]


def test_a_damaged_record_is_no_module(home: Path) -> None:
    content = (home / "file").read_bytes()
    record = 4 + int.from_bytes(content[:4], "little")
    (home / "file").write_bytes(content[: record + 4] + b"\xff" + content[record + 5 :])
    assert load(home)[:4] == ["True", "first", str(home / "one.py"), "SourceFileLoader"]


_DOCUMENTED = '''
"""Of the module."""

class Silent:
    """Of a class, and all of it."""

def checked(value: str) -> "what comes":
    """Of a function."""
    assert value, "is there"
    return value

number: int = 1
'''


def test_docstrings_and_types_are_left_out_but_assertions_and_lines_are_there(home: Path) -> None:
    (home / "one.py").write_text(_DOCUMENTED)
    startup.write(str(home / "file"))
    program = """
import sys, traceback
sys.path.insert(0, sys.argv[1])
from lamina.startup import install
install(sys.argv[2])
import one
print(one.__doc__, one.Silent.__doc__, one.checked.__doc__, one.checked("sound"))
print(one.checked.__annotations__, "__annotations__" in vars(one), one.number)
try:
    one.checked("")
except AssertionError as error:
    print(error, traceback.extract_tb(error.__traceback__)[-1].lineno)
"""
    words = [sys.executable, "-c", program, _SOURCES, str(home / "file")]
    environment = {**os.environ, "PYTHONPATH": str(home)}
    done = subprocess.run(words, capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.splitlines() == ["None None None sound", "{} False 1", "is there 9"]


_NESTED = """
import sys, threading
sys.path.insert(0, sys.argv[1])
from lamina.startup import install
install(sys.argv[2])
done = threading.Event()
if sys.argv[3] == "thread":
    threading.Thread(target=done.wait).start()
try:
    import outer
    inner = sys.modules["box.inner"]
    loader = type(inner.__loader__).__name__
    print(outer.ORDER, outer.box.inner is inner, inner.__spec__.parent, inner.__package__, loader)
    print(outer.box.__path__, inner.__file__, outer.again is outer)
except ZeroDivisionError:
    print("failed", [name for name in ("outer", "box.inner", "box") if name in sys.modules])
done.set()
"""


@pytest.fixture
def nested(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Modules that import one another, in a circle too."""
    (tmp_path / "box").mkdir()
    sources = {
        "outer": "import box\nfrom box.inner import ORDER\nORDER.append('outer')\nfrom box.inner import again\n",
        "box": "",
        "box.inner": "ORDER = ['inner']\nimport outer as again\n",
    }
    paths = {name: tmp_path / f"{name.replace('.', '/')}.py" for name in sources} | {
        "box": tmp_path / "box/__init__.py"
    }
    for name, text in sources.items():
        paths[name].write_text(text)
    monkeypatch.setattr(startup, "_sources", lambda: iter((name, str(path)) for name, path in paths.items()))
    startup.write(str(tmp_path / "file"))
    return tmp_path


def load_nested(home: Path, how: str = "") -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", _NESTED, _SOURCES, str(home / "file"), how],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(home)},
        check=True,
    )
    return done.stdout.splitlines()


@pytest.mark.parametrize("how", ["", "thread"])
def test_what_a_module_needs_is_as_if_it_had_been_imported(nested: Path, how: str) -> None:
    assert load_nested(nested, how) == [
        "['inner', 'outer'] True box box Finder",
        f"['{nested}/box'] {nested}/box/inner.py True",
    ]


@pytest.mark.parametrize("how", ["", "thread"])
def test_what_a_module_needs_and_has_changed_is_loaded_from_its_source(nested: Path, how: str) -> None:
    (nested / "box/inner.py").write_text("ORDER = ['changed']\nimport outer as again\n")
    assert load_nested(nested, how)[0] == "['changed', 'outer'] True box box SourceFileLoader"


def test_what_is_imported_further_down_may_need_what_is_between(nested: Path) -> None:
    (nested / "box/inner.py").write_text("from outer import VALUE\nORDER = [VALUE]\nimport outer as again\n")
    (nested / "outer.py").write_text("VALUE = 1\nimport box\nfrom box.inner import ORDER, again\n")
    startup.write(str(nested / "file"))
    assert load_nested(nested)[0] == "[1] True box box Finder"


_EACH = """
import os, sys
sys.path[:0] = [sys.argv[1], sys.argv[2]]
from lamina.startup import install
assert install(sys.argv[3])
for name in sys.argv[4:]:
    child = os.fork()
    if not child:
        __import__(name)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        print(name)
"""


def test_every_module_of_others_loads_first(tmp_path: Path) -> None:
    """Modules that import one another are in what does not come in order."""
    file = tmp_path / "file"
    startup.write(str(file))
    there = [name for name in startup._OTHERS if importlib.util.find_spec(name) is not None]
    words = [sys.executable, "-IS", "-c", _EACH, _SOURCES, sysconfig.get_path("purelib"), str(file), *there]
    assert subprocess.run(words, capture_output=True, text=True, check=True).stdout == ""


@pytest.mark.parametrize("how", ["", "thread"])
def test_a_module_that_fails_is_not_there(nested: Path, how: str) -> None:
    (nested / "box/inner.py").write_text("1 / 0\n")
    startup.write(str(nested / "file"))
    assert load_nested(nested, how) == ["failed ['box']"]


def test_the_file_of_another_interpreter_is_no_file(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(startup, "_interpreter", lambda: ("another",))
    startup.write(str(home / "file"))
    assert load(home)[0] == "False"


def test_no_file_is_no_error(home: Path) -> None:
    (home / "file").unlink()
    assert load(home)[0] == "False"


def test_every_module_of_the_package_is_written(tmp_path: Path) -> None:
    count = startup.write(str(tmp_path / "file"))
    assert count > len(list(Path(_SOURCES, "lamina").rglob("*.py")))


_ABSTRACT = """
import sys
sys.path.insert(0, sys.argv[1])
from lamina.startup import install
install(sys.argv[2])
from collections.abc import Mapping
print("collections" in sys.modules)
import collections.abc, _collections_abc
print(collections.abc.Mapping is Mapping, collections.OrderedDict.__module__)
"""


@pytest.mark.parametrize("has_it", [True, False])
def test_abstract_classes_come_without_the_rest_of_their_package(
    tmp_path: Path, has_it: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [("collections", str(collections.__file__))] if has_it else []
    monkeypatch.setattr(startup, "_sources", lambda: iter(found))
    startup.write(str(tmp_path / "file"))
    command = [sys.executable, "-IS", "-c", _ABSTRACT, _SOURCES, str(tmp_path / "file")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(not has_it), "True", "collections"]

"""``lamina.typing``, ``lamina.json``, ``lamina.functools`` and their like are what they stand in for."""

from __future__ import annotations

import copy
import ctypes as standard_ctypes
import errno
import inspect
import json as standard_json
import pickle
import re
import signal as standard_signal
import subprocess
import sys
import typing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import lamina
from lamina import json, signal
from lamina.functools import cache, cached_property, lru_cache
from lamina.linux import ctypes
from lamina.typing import Any, Generic, NamedTuple, TypeVar

_T = TypeVar("_T")


class Point(NamedTuple):
    """A point."""

    x: int
    y: int = 2

    def total(self) -> int:
        return self.x + self.y


class Named(Point):
    def doubled(self) -> int:
        return 2 * super().total()


class Boxed(NamedTuple, Generic[_T]):
    content: _T


class StandardPoint(typing.NamedTuple):
    """A point."""

    x: int
    y: int = 2


def test_a_tuple_with_names_is_made_and_read_as_the_standard_one() -> None:
    assert Point(1) == (1, 2) == Point(x=1) == Point._make([1, 2])
    assert Point(y=5, x=4) == (4, 5)
    assert repr(Point(1)) == repr(StandardPoint(1)).removeprefix("Standard")
    assert Point(1)._replace(y=7) == (1, 7)
    assert Point(1)._asdict() == StandardPoint(1)._asdict()
    for name in ("_fields", "_field_defaults", "__doc__", "__match_args__"):
        assert getattr(Point, name) == getattr(StandardPoint, name)
    assert Point(1).total() == 3
    assert Boxed("a").content == "a"
    match Point(3):
        case Point(x, y):
            assert (x, y) == (3, 2)


@pytest.mark.parametrize("count", [0, 50])
def test_the_last_of_many_objects_is_made_as_the_first(count: int) -> None:
    class Line(NamedTuple):
        start: int
        end: int = 9

    for _ in range(count):
        Line(1)
    assert [Line(1), Line(1, 2), Line(end=3, start=1), Line(1, end=4)] == [(1, 9), (1, 2), (1, 3), (1, 4)]
    wrong: dict[str, Any] = {"wrong": 3}
    for values, named in (((), {"end": 1}), ((1,), {"start": 1}), ((1, 2), wrong), ((1,), wrong), ((1, 2, 3), {})):
        with pytest.raises(TypeError, match=r"Line.__new__\(\)"):
            Line(*values, **named)


def test_what_is_derived_from_a_tuple_keeps_its_kind() -> None:
    assert type(Named(1)) is Named
    assert type(Named(1)._replace(x=2)) is Named
    assert Named(1).doubled() == 6
    assert type(Point(1)) is Point


def test_a_tuple_survives_copies() -> None:
    assert pickle.loads(pickle.dumps(Point(1))) == Point(1)
    assert type(copy.copy(Point(1))) is Point


@pytest.mark.parametrize("values", [(), (1, 2, 3)])
def test_a_wrong_number_of_values_is_refused(values: tuple[int, ...]) -> None:
    with pytest.raises(TypeError, match=r"Point.__new__\(\)"):
        Point(*values)
    with pytest.raises(ValueError, match="unexpected field names"):
        Point(1)._replace(z=1)


def test_a_field_without_a_default_may_not_follow_one_with() -> None:
    with pytest.raises(TypeError, match="follows a default field"):
        type(NamedTuple)("Wrong", (NamedTuple,), {"__annotations__": {"a": int, "b": int}, "a": 1})


_documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(_documents, st.booleans(), st.sampled_from([None, (",", ":")]), st.sampled_from([None, 1, "\t"]))
def test_documents_are_written_as_the_standard_package_writes_them(
    document: object, ascii_only: bool, separators: tuple[str, str] | None, indent: int | str | None
) -> None:
    options: dict[str, object] = {"ensure_ascii": ascii_only, "sort_keys": ascii_only}
    if separators is not None:
        options["separators"] = separators
    if indent is not None:
        options["indent"] = indent
    text = json.dumps(document, **options)  # type: ignore[arg-type] # a table of keyword arguments
    assert text == standard_json.dumps(document, **options)  # type: ignore[arg-type] # the same
    assert repr(json.loads(text)) == repr(standard_json.loads(text))
    assert repr(json.loads(f" \n{text}\t ".encode())) == repr(standard_json.loads(text))


_WRONG = ["", " ", "{", '{"a" 1}', "[1,]", "1 2", "nul", '"\x01"', b"\xff", "\ufeff1", '{"a":1}x']


@pytest.mark.parametrize("text", _WRONG)
def test_what_is_no_document_is_the_same_error(text: str | bytes) -> None:
    with pytest.raises(ValueError) as theirs:  # noqa: PT011 - the words are compared
        standard_json.loads(text)
    with pytest.raises(ValueError) as ours:  # noqa: PT011 - as above
        json.loads(text)
    assert (type(ours.value), str(ours.value)) == (type(theirs.value), str(theirs.value))


def test_what_json_does_not_know_is_refused() -> None:
    with pytest.raises(TypeError, match="Object of type object is not JSON serializable"):
        json.dumps([object()])
    with pytest.raises(ValueError, match="Out of range float"):
        json.dumps([float("nan")], allow_nan=False)


def test_signals_have_the_standard_numbers() -> None:
    for member in standard_signal.Signals:
        assert getattr(signal, member.name) == member.value
    assert inspect.isbuiltin(signal.signal)


def test_they_load_nothing_costly() -> None:
    source = Path(lamina.__file__).parents[1]
    program = (
        f"import sys; sys.path.insert(0, {str(source)!r}); import lamina.typing, lamina.json, lamina.signal\n"
        "import lamina.contextlib, lamina.functools, lamina.collections, lamina.linux.ctypes\n"
        "costly = {'ctypes', 'typing', 're', 'enum', 'json', 'signal', 'functools', 'contextlib', 'collections'}\n"
        "print(*sorted(costly & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-IS", "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "\n"


def test_what_is_no_document_is_an_error_also_where_json_was_not_loaded() -> None:
    source = Path(lamina.__file__).parents[1]
    program = (
        f"import sys; sys.path.insert(0, {str(source)!r}); from lamina import json\n"
        "for text in sys.argv[1:]:\n"
        "    try: json.loads(text)\n"
        "    except ValueError: print('refused')"
    )
    wrong = [text for text in _WRONG if isinstance(text, str)]
    for text in wrong:
        done = subprocess.run([sys.executable, "-IS", "-c", program, text], capture_output=True, text=True, check=True)
        assert done.stdout == "refused\n", text


class Counted:
    asked = 0

    @cached_property
    def number(self) -> int:
        """How often it was computed."""
        self.asked += 1
        return self.asked


def test_a_cached_property_is_computed_once() -> None:
    counted, other = Counted(), Counted()
    assert [counted.number, counted.number, other.number] == [1, 1, 1]
    assert counted.asked == 1
    assert inspect.getdoc(Counted.number) == "How often it was computed."
    del counted.number
    assert counted.number == 2


def test_results_are_kept_as_long_as_there_is_room() -> None:
    asked = []

    @lru_cache(1)
    def last(value: int) -> int:
        asked.append(value)
        return value

    @cache
    def every(value: int) -> int:
        asked.append(value)
        return value

    assert [last(1), last(1), last(2), last(1)] == [1, 1, 2, 1]
    assert asked == [1, 2, 1]
    asked.clear()
    assert [every(1), every(2), every(1)] == [1, 2, 1]
    every.cache_clear()
    assert every(1) == 1
    assert asked == [1, 2, 1]


_C_TYPES = [name for name in ctypes.__all__ if name.startswith("c_")]


@pytest.mark.parametrize("name", _C_TYPES)
def test_a_c_type_is_as_wide_and_as_signed_as_the_standard_one(name: str) -> None:
    ours, theirs = getattr(ctypes, name), getattr(standard_ctypes, name)
    assert ctypes.sizeof(ours) == standard_ctypes.sizeof(theirs)
    value = b"text" if name == "c_char_p" else (1 << 64) - 1
    assert ours(value).value == theirs(value).value


def test_a_function_of_c_is_called_as_with_the_standard_module(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing").encode()
    for module in (ctypes, standard_ctypes):
        library = module.CDLL(None, use_errno=True)
        assert library.chdir(missing) == -1
        assert module.get_errno() == errno.ENOENT
        assert library.strtol is library.strtol
        library.strtoul.restype = module.c_ulong
        assert library.strtoul(b"18446744073709551615", None, 10) == (1 << 64) - 1
        end = module.c_void_p()
        assert library.strtol(b"-12x", module.byref(end), 10) == -12
        assert end.value
        with pytest.raises(AttributeError, match="no_such_function"):
            library.no_such_function  # noqa: B018 - looked up
        with pytest.raises(OSError, match="no_such_library"):
            module.CDLL("no_such_library.so")


def test_the_package_has_one_way_to_each_of_them() -> None:
    home = Path(lamina.__file__).parent
    standard = re.compile(r"^(?:from|import) (contextlib|functools|collections|ctypes)(?: |$)", re.MULTILINE)
    found = {str(path.relative_to(home)) for path in home.rglob("*.py") if standard.search(path.read_text())}
    assert found == set()

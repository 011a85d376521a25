"""The functions that templates may call: Go's and docker's. They raise ``ValueError`` with Go's words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from lamina.characters import GO_ESCAPES
from lamina.template.formatting import sprintf
from lamina.template.values import Nil, Record, printed, to_json, truth, type_name
from lamina.typing import Any, NamedTuple


class TemplateFunction(NamedTuple):
    """``most`` is ``None`` when it takes any number; ``texts`` are the parameters that must be strings."""

    call: Callable[..., object]
    least: int
    most: int | None
    texts: tuple[int, ...] = ()
    numbers: tuple[int, ...] = ()


def _length(value: Any) -> int:
    if isinstance(value, str):
        return len(value.encode("utf-8", "surrogateescape"))
    if isinstance(value, Mapping | Sequence | Nil):
        return len(value)
    raise ValueError("len of nil pointer" if value is None else f"len of type {type_name(value)}")


def _index(value: Any, *keys: Any) -> object:
    for key in keys:
        if isinstance(value, Mapping):
            if not isinstance(key, str):
                kind = type_name(key).replace("int64", "int")
                raise ValueError(
                    "value is nil; should be of type string"
                    if key is None
                    else f"value has type {kind}; should be string"
                )
            # Go's map[string]string (labels, options) has "" for what is not there.
            absent = "" if all(isinstance(member, str) for member in value.values()) else None
            value = value.get(key, absent)
        elif isinstance(value, str | list | tuple):
            if not isinstance(key, int) or isinstance(key, bool):
                raise ValueError(f"cannot index slice/array with type {type_name(key)}")
            if not 0 <= key < len(value):
                raise ValueError(f"index out of range: {key}")
            value = ord(value[key]) if isinstance(value, str) else value[key]
        elif value is None or isinstance(value, Nil):
            value = ""
        else:
            raise ValueError(f"can't index item of type {type_name(value)}")
    return value


def _slice(value: Any, *bounds: Any) -> object:
    if not isinstance(value, str | list | tuple):
        raise ValueError(f"can't slice item of type {type_name(value)}")
    ends = [*bounds[:2], len(value)][: max(2, len(bounds[:2]))] if bounds else [0, len(value)]
    for bound in ends:
        if not 0 <= bound <= len(value):
            raise ValueError(f"index out of range: {bound}")
    if ends[0] > ends[1]:
        raise ValueError(f"invalid slice index: {ends[0]} > {ends[1]}")
    return value[ends[0] : ends[1]]


def _kind(value: object) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "int"
    if isinstance(value, float):
        return "float"
    if isinstance(value, str):
        return "string"
    if value is None:
        return "nil"
    return ""


def _equal(first: object, *others: object) -> bool:
    for other in others:
        kinds = _kind(first), _kind(other)
        if "" in kinds:
            raise ValueError("incompatible types for comparison" if any(kinds) else "non-comparable type")
        if kinds[0] != kinds[1] and "nil" not in kinds:
            raise ValueError("incompatible types for comparison")
        if kinds[0] == kinds[1] and first == other:
            return True
    return False


def _less(first: Any, second: Any) -> bool:
    kind = _kind(first)
    if kind not in ("int", "float", "string"):
        raise ValueError("invalid type for comparison")
    if kind != _kind(second):
        raise ValueError("incompatible types for comparison")
    return bool(first < second)


def _and(*values: object) -> object:
    return next((value for value in values if not truth(value)), values[-1])


def _or(*values: object) -> object:
    return next((value for value in values if truth(value)), values[-1])


def _sprint(*values: object) -> str:
    """Go's ``Sprint``: a space between two values when neither is a string."""
    text = ""
    for position, value in enumerate(values):
        if position and not isinstance(value, str) and not isinstance(values[position - 1], str):
            text += " "
        text += printed(value, inner=True)
    return text


def _sprintln(*values: object) -> str:
    return " ".join(printed(value, inner=True) for value in values) + "\n"


def _join(values: Any, separator: str) -> str:
    if values is None or isinstance(values, Nil):
        return ""
    if not isinstance(values, list | tuple) or not all(isinstance(value, str) for value in values):
        raise ValueError("wrong type for value; expected []string")
    return separator.join(values)


def _title(text: str) -> str:
    out = []
    previous = " "
    for character in text:
        out.append(character if previous.isalnum() or previous in "_'" else character.title())
        previous = character
    return "".join(out)


def _pad(text: str, before: int, after: int) -> str:
    return " " * before + text + " " * after if text else ""


def _truncate(text: str, length: int) -> str:
    return text[:length] if len(text) > length else text


def _call(*_: object) -> object:
    raise ValueError("call of nil")


def _html(*values: object) -> str:
    text = _sprint(*values).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return text.replace('"', "&#34;").replace("'", "&#39;")


def _urlquery(*values: object) -> str:
    from urllib.parse import quote_plus  # 5 ms that nobody else needs

    return quote_plus(_sprint(*values))


def _json(value: object) -> str:
    if not isinstance(value, Record):
        return to_json(value)
    text = to_json(value.to_json())
    # docker's rows make their own JSON, in which Go escapes what it would not in other values.
    return text if value.fields is not None else text.translate(GO_ESCAPES)


FUNCTIONS: dict[str, TemplateFunction] = {
    "and": TemplateFunction(_and, 1, None),
    "call": TemplateFunction(_call, 1, None),
    "eq": TemplateFunction(_equal, 2, None),
    "ge": TemplateFunction(lambda a, b: not _less(a, b), 2, 2),
    "gt": TemplateFunction(lambda a, b: not (_less(a, b) or _equal(a, b)), 2, 2),
    "html": TemplateFunction(_html, 1, None),
    "index": TemplateFunction(_index, 1, None),
    "join": TemplateFunction(_join, 2, 2, (1,)),
    "json": TemplateFunction(_json, 1, 1),
    "le": TemplateFunction(lambda a, b: _less(a, b) or _equal(a, b), 2, 2),
    "len": TemplateFunction(_length, 1, 1),
    "lower": TemplateFunction(str.lower, 1, 1, (0,)),
    "lt": TemplateFunction(_less, 2, 2),
    "ne": TemplateFunction(lambda a, b: not _equal(a, b), 2, 2),
    "not": TemplateFunction(lambda value: not truth(value), 1, 1),
    "or": TemplateFunction(_or, 1, None),
    "pad": TemplateFunction(_pad, 3, 3, (0,), (1, 2)),
    "print": TemplateFunction(_sprint, 0, None),
    "printf": TemplateFunction(sprintf, 1, None, (0,)),
    "println": TemplateFunction(_sprintln, 0, None),
    "slice": TemplateFunction(_slice, 1, 4, (), (1, 2, 3)),
    "split": TemplateFunction(lambda text, by: text.split(by) if by else list(text), 2, 2, (0, 1)),
    "title": TemplateFunction(_title, 1, 1, (0,)),
    "truncate": TemplateFunction(_truncate, 2, 2, (0,), (1,)),
    "upper": TemplateFunction(str.upper, 1, 1, (0,)),
    "urlquery": TemplateFunction(_urlquery, 1, None),
}

#: What the functions do for the header of a table, whose "values" are column titles: nothing.
HEADER_FUNCTIONS: dict[str, TemplateFunction] = {
    **FUNCTIONS,
    **{
        name: FUNCTIONS[name]._replace(call=lambda text, *_: text, texts=(), numbers=())
        for name in ("join", "json", "lower", "pad", "split", "title", "truncate", "upper")
    },
}

"""``name=value,name=value``: how the builder's flags are written. Fields are those of one CSV line, as in buildx."""

from __future__ import annotations

from collections.abc import Mapping

from lamina.errors import InvalidArgument

_TRUE, _FALSE = ("1", "t", "T", "TRUE", "true", "True"), ("0", "f", "F", "FALSE", "false", "False")


def fields(text: str) -> list[str]:
    """The fields as they stand. Raises ``InvalidArgument``."""
    if '"' not in text:
        return text.split(",")
    import csv  # hardly anybody quotes

    try:
        rows = list(csv.reader([text], strict=True))
    except csv.Error as error:
        raise InvalidArgument(f"{text}: {error}") from None
    return rows[0] if rows else []


def parse(text: str) -> dict[str, str]:
    """Values by name, names in lower case.

    :raises InvalidArgument: a field is not a pair, or a name comes twice.
    """
    found: dict[str, str] = {}
    for field in fields(text):
        name, equals, value = field.partition("=")
        name = name.strip().lower()
        if not equals or not name:
            raise InvalidArgument(f"invalid value {field}: expected key=value")
        if name in found:
            raise InvalidArgument(f"{text}: {name} is given twice")
        found[name] = value
    return found


def boolean(values: Mapping[str, str], name: str, *, default: bool = False) -> bool:
    """One of :func:`parse`'s values as Go's ``strconv.ParseBool`` reads it."""
    value = values.get(name)
    if value is None:
        return default
    if value not in (*_TRUE, *_FALSE):
        raise InvalidArgument(f"non-bool value {value!r} specified for {name}")
    return value in _TRUE

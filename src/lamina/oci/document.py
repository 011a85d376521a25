"""JSON from outside: strict, bounded, and an object at the top, or a list of them.

Python's parser accepts ``NaN``, recurses, and lets the last of two equal keys win; two readers that disagree
about a document are how a signature is bypassed, so all of it is refused here.
"""

from __future__ import annotations

from lamina import json
from lamina.errors import Corrupt
from lamina.typing import Any

#: Largest manifest or index: what registries and containerd accept (distribution-spec recommends 4 MiB).
MANIFEST_LIMIT = 4 << 20
#: Largest image configuration.
CONFIG_LIMIT = 8 << 20


class InvalidDocument(Corrupt):
    """The bytes are not a usable JSON object."""


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _refuse_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("an object has the same key twice")
    return members


def load(raw: bytes, what: str, limit: int) -> dict[str, Any]:
    """Parse ``raw`` into an object.

    :param what: how the message names the document: ``manifest of example.com/a:b``.
    :param limit: most bytes to look at.
    :raises InvalidDocument: too large, not UTF-8, not JSON, nested too deeply, duplicate keys, ``NaN``, or not an
        object.
    """
    document = _parse(raw, what, limit)
    if not isinstance(document, dict):
        raise InvalidDocument(f"{what}: not a JSON object")
    return document


def load_list(raw: bytes, what: str, limit: int) -> list[dict[str, Any]]:
    """Parse ``raw`` into a list of objects, as Docker's ``manifest.json`` is one. Otherwise as :func:`load`."""
    items = _parse(raw, what, limit)
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise InvalidDocument(f"{what}: not a JSON list of objects")
    return items


def _parse(raw: bytes, what: str, limit: int) -> Any:
    if len(raw) > limit:
        raise InvalidDocument(f"{what}: {len(raw)} bytes are more than the limit of {limit}")
    try:
        document = json.loads(
            raw.decode("utf-8"), parse_constant=_refuse_constant, object_pairs_hook=_refuse_duplicates
        )
        json.dumps(document, ensure_ascii=False).encode("utf-8")  # a lone surrogate can't be written again
    except RecursionError:
        raise InvalidDocument(f"{what}: nested too deeply") from None
    except ValueError as error:
        raise InvalidDocument(f"{what}: {error}") from error
    return document


def member(document: dict[str, Any], key: str, kind: type, what: str, default: Any = None) -> Any:
    """``document[key]`` when it has type ``kind``; ``default`` when it is absent or null.

    :raises InvalidDocument: it has another type.
    """
    value = document.get(key)
    if value is None:
        return default
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise InvalidDocument(f"{what}: {key!r} is not a {kind.__name__}")
    return value

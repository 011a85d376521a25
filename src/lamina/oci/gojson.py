"""JSON as Go's ``encoding/json`` writes it: compact, with ``<``, ``>``, ``&``, U+2028 and U+2029 escaped.

Docker hashes what it marshals (image configurations, the version 1 IDs in ``docker save`` archives), so that a byte of
difference is another ID. Members stay in the order given.
"""

from __future__ import annotations

from lamina import json
from lamina.characters import GO_ESCAPES
from lamina.typing import Any

#: Go before 1.22 knows no short form for these two.
_LONG_ESCAPE = {"b": "\\u0008", "f": "\\u000c"}


def encode(value: Any) -> bytes:
    """``value`` as one line without an end of line."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    if "\\b" in text or "\\f" in text:
        import re  # costs a start some milliseconds, and is needed next to never

        text = re.sub(r"\\(.)", lambda match: _LONG_ESCAPE.get(match[1], match[0]), text)
    return text.translate(GO_ESCAPES).encode()

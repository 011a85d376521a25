"""Go's ``fmt.Sprintf``: the verbs that people use in ``--format``."""

from __future__ import annotations

import re

from lamina import json
from lamina.template.values import printed, to_json, type_name

_VERB = re.compile(r"%(?P<flags>[-+# 0]*)(?P<width>\d+|\*)?(?:\.(?P<precision>\d+))?(?P<verb>.)", re.DOTALL)
_INTEGER = {"d": "d", "x": "x", "X": "X", "o": "o", "b": "b", "c": "c"}
_FLOAT = frozenset("eEfFgG")


def sprintf(pattern: str, *values: object) -> str:
    """Format as Go does; a verb that does not fit its value says so in the text: ``%!d(string=x)``."""
    rest = list(values)

    def replace(match: re.Match[str]) -> str:
        if match["verb"] == "%":
            return "%"
        if not rest:
            return f"%!{match['verb']}(MISSING)"
        return _one(match, rest.pop(0))

    text = _VERB.sub(replace, pattern)
    if rest:
        extra = ", ".join(f"{type_name(value)}={printed(value, inner=True)}" for value in rest)
        text += f"%!(EXTRA {extra})"
    return text


def _one(match: re.Match[str], value: object) -> str:
    verb, flags = match["verb"], match["flags"]
    precision = None if match["precision"] is None else int(match["precision"])
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if verb == "v":
        text = to_json(value) if "#" in flags else printed(value, inner=True)
    elif verb == "T":
        text = type_name(value)
    elif verb in "sq" and not number and not isinstance(value, bool):
        text = printed(value, inner=True)
        text = text if precision is None else text[:precision]
        text = json.dumps(text, ensure_ascii=False) if verb == "q" else text
    elif verb == "t" and isinstance(value, bool):
        text = printed(value)
    elif verb in _INTEGER and isinstance(value, int) and not isinstance(value, bool):
        text = format(value, ("+" if "+" in flags else "") + _INTEGER[verb])
    elif verb in _FLOAT and isinstance(value, float):
        text = format(value, ("+" if "+" in flags else "") + f".{6 if precision is None else precision}{verb}")
    elif verb in "xX" and isinstance(value, str):
        text = value.encode("utf-8", "surrogateescape").hex()
        text = text.upper() if verb == "X" else text
    else:
        return f"%!{verb}({type_name(value)}={printed(value, inner=True)})"
    width = int(match["width"]) if (match["width"] or "").isdigit() else 0
    if "-" in flags:
        return text.ljust(width)
    return text.zfill(width) if "0" in flags and number else text.rjust(width)

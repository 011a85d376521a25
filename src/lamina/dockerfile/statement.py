"""An instruction's syntax: keyword, flags, and arguments cut as the instruction wants them.

What they mean is :mod:`lamina.dockerfile.reading`'s business. The grammar is that of buildkit's
``frontend/dockerfile/parser``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable

from lamina.dockerfile.blank import BLANKS
from lamina.dockerfile.failure import InvalidInstruction, quoted
from lamina.typing import Any, NamedTuple

_SEPARATOR = re.compile(r"[\t\v\f\r ]+")
_STRINGS_ONLY = "when using JSON array syntax, arrays must be comprised of strings only"


class Statement(NamedTuple):
    """``keyword`` as written; ``flags`` each with its dashes.

    ``arguments`` of ``ENV`` and ``LABEL`` are three for each pair: name, value, and ``=`` or, in the old form, nothing.
    ``json``: they were written as a JSON array. ``trigger`` is the statement inside ``ONBUILD``.
    """

    keyword: str
    flags: tuple[str, ...]
    arguments: tuple[str, ...]
    json: bool = False
    trigger: Statement | None = None

    @property
    def takes_heredocs(self) -> bool:
        inner = self.trigger if self.keyword.lower() == "onbuild" and self.trigger else self
        return inner.keyword.lower() in ("add", "copy", "run") and not inner.json


class _Arguments(NamedTuple):
    words: tuple[str, ...]
    json: bool = False


def parse_statement(line: str, escape: str = "\\") -> Statement:
    """``line`` is one logical line. An unknown keyword is no error here, and has no arguments.

    Raises :class:`InvalidInstruction`.
    """
    keyword, rest = _keyword(line.strip(BLANKS))
    flags, text = _flags(rest, escape)
    text = text.strip(BLANKS)
    name = keyword.lower()
    if name == "onbuild":
        trigger = parse_statement(text, escape) if text else None
        arguments = (trigger.keyword, *trigger.arguments) if trigger else ()
        return Statement(keyword, flags, arguments, trigger=trigger)
    cut = _CUTTERS.get(name)
    words, is_json = cut(text, escape) if cut else _Arguments(())
    return Statement(keyword, flags, words, is_json)


def _keyword(line: str) -> tuple[str, str]:
    match = _SEPARATOR.search(line)
    return (line[: match.start()], line[match.end() :]) if match else (line, "")


def _flags(text: str, escape: str) -> tuple[tuple[str, ...], str]:
    """Leading words that begin with two dashes, without their quotes; then the rest. ``--`` alone ends them."""
    flags: list[str] = []
    position = 0
    while True:
        while position < len(text) and text[position] in BLANKS:
            position += 1
        if not text.startswith("--", position):
            return tuple(flags), text[position:]
        word, position = _flag(text, position, escape)
        if word == "--":
            return tuple(flags), text[position:]
        flags.append(word)


def _flag(text: str, position: int, escape: str) -> tuple[str, int]:
    out: list[str] = []
    quote = ""
    while position < len(text):
        char = text[position]
        if not quote and char in BLANKS:
            break
        position += 1
        if char == quote or (not quote and char in "'\""):
            quote = "" if quote else char
            continue
        if char == escape:
            if position == len(text):
                break
            char = text[position]
            position += 1
        out.append(char)
    return "".join(out), position


def split_words(text: str, escape: str = "\\") -> list[str]:
    """Split at blanks that are neither quoted nor escaped; quotes and escapes stay in the words."""
    words: list[str] = []
    word: list[str] = []
    quote = ""
    position = 0
    while position < len(text):
        char = text[position]
        position += 1
        if not quote and char in BLANKS:
            if word:
                words.append("".join(word))
            word.clear()
            continue
        if char == escape and quote != "'":
            if position == len(text):
                break
            word += char, text[position]
            position += 1
            continue
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        word.append(char)
    return [*words, "".join(word)] if word else words


def parse_json(text: str) -> list[str] | None:
    """The exec form, a JSON array of strings; ``None`` for anything else, which is then plain text.

    What stands after the array is ignored, as Docker does.

    Raises :class:`InvalidInstruction` for an array that has something else in it.
    """
    text = text.lstrip(BLANKS)
    if not text.startswith("["):
        return None
    try:
        value: list[Any] = _decoder().raw_decode(text)[0]
    except (ValueError, RecursionError):
        return None
    if not all(isinstance(item, str) for item in value):
        raise InvalidInstruction(_STRINGS_ONLY, at="[")
    return [_without_surrogates(item) for item in value]


def _decoder() -> json.JSONDecoder:
    return json.JSONDecoder(parse_float=_number, parse_int=_number, parse_constant=_refuse)


def _number(text: str) -> float:
    """Go's limits: what a ``float64`` does not hold makes the text no JSON."""
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError(text)
    return value


def _refuse(text: str) -> None:
    raise ValueError(text)


def _without_surrogates(text: str) -> str:
    return text.encode("utf-8", "surrogatepass").decode("utf-8", "replace") if not text.isascii() else text


def _one(text: str, _escape: str) -> _Arguments:
    return _Arguments((text,) if text else ())


def _blank_separated(text: str, _escape: str) -> _Arguments:
    return _Arguments(tuple(_SEPARATOR.split(text)) if text else ())


def _json_or_one(text: str, escape: str) -> _Arguments:
    words = parse_json(text) if text else None
    return _one(text, escape) if words is None else _Arguments(tuple(words), True)


def _json_or_blank_separated(text: str, escape: str) -> _Arguments:
    words = parse_json(text)
    return _blank_separated(text, escape) if words is None else _Arguments(tuple(words), True)


def _names(text: str, escape: str) -> _Arguments:
    return _Arguments(tuple(split_words(text, escape)))


def _pairs(instruction: str, text: str, escape: str) -> _Arguments:
    words = split_words(text, escape)
    if not words:
        return _Arguments(())
    if "=" not in words[0]:
        name, *rest = _SEPARATOR.split(text, maxsplit=1)
        if not rest:
            raise InvalidInstruction(f"{instruction} must have two arguments", at=text)
        return _Arguments((name, rest[0], ""))
    arguments: list[str] = []
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise InvalidInstruction(
                f"Syntax error - can't find = in {quoted(word)}. Must be of the form: name=value", at=word
            )
        arguments += name, value, "="
    return _Arguments(tuple(arguments))


def _environment(text: str, escape: str) -> _Arguments:
    return _pairs("ENV", text, escape)


def _labels(text: str, escape: str) -> _Arguments:
    return _pairs("LABEL", text, escape)


def _health(text: str, escape: str) -> _Arguments:
    """The kind, then a command or a JSON array."""
    end = next((index for index, char in enumerate(text) if char in BLANKS), len(text))
    if not end:
        return _Arguments(())
    words, is_json = _json_or_one(text[end:].lstrip(BLANKS), escape)
    return _Arguments((text[:end], *words), is_json)


_CUTTERS: dict[str, Callable[[str, str], _Arguments]] = {
    "add": _json_or_blank_separated,
    "arg": _names,
    "cmd": _json_or_one,
    "copy": _json_or_blank_separated,
    "entrypoint": _json_or_one,
    "env": _environment,
    "expose": _blank_separated,
    "from": _blank_separated,
    "healthcheck": _health,
    "label": _labels,
    "maintainer": _one,
    "run": _json_or_one,
    "shell": _json_or_one,
    "stopsignal": _one,
    "user": _one,
    "volume": _json_or_blank_separated,
    "workdir": _one,
}

#: Every instruction, in capitals.
KEYWORDS = tuple(sorted(name.upper() for name in [*_CUTTERS, "onbuild"]))

"""``WWW-Authenticate`` (RFC 9110, 11.6.1), as far as registries use it."""

from __future__ import annotations

import re

from lamina.typing import NamedTuple

_SCHEME = re.compile(r"\s*,?\s*([A-Za-z][A-Za-z0-9!#$%&'*+.^_`|~-]*)(?:\s+|$)(?!=)")
_PARAMETER = re.compile(r'\s*,?\s*([A-Za-z][A-Za-z0-9_-]*)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')
_LIMIT = 8192


class Challenge(NamedTuple):
    """One way to authenticate: scheme in lower case, parameters with names in lower case."""

    scheme: str
    parameters: dict[str, str]


def parse(values: list[str]) -> list[Challenge]:
    """The challenges of all ``WWW-Authenticate`` headers of an answer; what is malformed ends its header."""
    return [challenge for value in values for challenge in _parse_one(value[:_LIMIT])]


def _parse_one(value: str) -> list[Challenge]:
    found: list[Challenge] = []
    position = 0
    while match := _SCHEME.match(value, position):
        parameters: dict[str, str] = {}
        position = match.end()
        while parameter := _PARAMETER.match(value, position):
            quoted, token = parameter[2], parameter[3]
            parameters.setdefault(parameter[1].lower(), re.sub(r"\\(.)", r"\1", quoted) if token is None else token)
            position = parameter.end()
        found.append(Challenge(match[1].lower(), parameters))
    return found

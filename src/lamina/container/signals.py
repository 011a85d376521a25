"""Signals by the names that docker accepts: ``9``, ``KILL``, ``SIGKILL``, ``RTMIN+3``."""

from __future__ import annotations

from lamina import signal
from lamina.errors import InvalidArgument

_REAL_TIME = {"RTMIN": int(signal.SIGRTMIN), "RTMAX": int(signal.SIGRTMAX)}
#: The highest number.
LAST = _REAL_TIME["RTMAX"]
DEFAULT_STOP = "SIGTERM"


class InvalidSignal(InvalidArgument):
    """Not a signal of this system."""

    def __init__(self, text: str) -> None:
        super().__init__(f"Invalid signal: {text}")


def number(text: str) -> int:
    """The signal's number. Raises :class:`InvalidSignal`."""
    if text.isascii() and text.isdigit():
        value = int(text)
        if not 0 < value <= _REAL_TIME["RTMAX"]:
            raise InvalidSignal(text)
        return value
    name = text.upper().removeprefix("SIG")
    for base, start in _REAL_TIME.items():
        offset = name.removeprefix(base)
        if offset == name:
            continue
        if not offset:
            return start
        sign, digits = offset[0], offset[1:]
        value = start + (int(digits) if sign == "+" else -int(digits)) if sign in "+-" and digits.isdigit() else 0
        if _REAL_TIME["RTMIN"] <= value <= _REAL_TIME["RTMAX"]:
            return value
        raise InvalidSignal(text)
    named = getattr(signal, "SIG" + name, None)
    if not isinstance(named, int) or name.startswith("_"):  # SIG_DFL is no signal
        raise InvalidSignal(text)
    return named

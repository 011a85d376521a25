"""Detach keys: what is typed to leave a container running (``ctrl-p,ctrl-q``)."""

from lamina.errors import InvalidArgument

#: ctrl-p, ctrl-q
DEFAULT_KEYS = b"\x10\x11"
#: What may follow ``ctrl-``: its control character is the lower five bits.
_CONTROLS = "abcdefghijklmnopqrstuvwxyz@[\\]^_"


class InvalidKeys(InvalidArgument):
    """The text is no sequence of keys."""

    def __init__(self, text: str) -> None:
        super().__init__(f"Invalid escape keys ({text}) provided")


def parse_keys(text: str) -> bytes:
    """The bytes of ``a,ctrl-b``; the default for ``""``. Raises :class:`InvalidKeys`."""
    if not text:
        return DEFAULT_KEYS
    found = bytearray()
    for key in text.split(","):
        control = key.lower().removeprefix("ctrl-")
        if len(key) == 1 and key.isascii():
            found += key.encode()
        elif len(control) == 1 and control in _CONTROLS and key.lower() != control:
            found.append(ord(control.upper()) & 0x1F)
        else:
            raise InvalidKeys(text)
    return bytes(found)


class Detached(Exception):
    """The detach keys were typed; the container's process goes on."""


class DetachKeys:
    """Watches what is typed. A sequence that was begun is held back until it is clear whether it is one."""

    __slots__ = ("_keys", "_matched")

    def __init__(self, keys: bytes = DEFAULT_KEYS) -> None:
        self._keys = keys
        self._matched = 0

    def feed(self, data: bytes) -> tuple[bytes, bool]:
        """What to pass on of ``data``, and whether the sequence is complete."""
        passed = bytearray()
        for byte in data:
            if byte != self._keys[self._matched]:
                passed += self._keys[: self._matched]
                self._matched = 0
            if byte == self._keys[self._matched]:
                self._matched += 1
                if self._matched == len(self._keys):
                    self._matched = 0
                    return bytes(passed), True
            else:
                passed.append(byte)
        return bytes(passed), False

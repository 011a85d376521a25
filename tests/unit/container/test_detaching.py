"""Which keys leave a container running."""

from __future__ import annotations

import pytest

from lamina.container.detaching import DEFAULT_KEYS, DetachKeys, InvalidKeys, parse_keys


@pytest.mark.parametrize(
    ("text", "keys"),
    [("", DEFAULT_KEYS), ("ctrl-p,ctrl-q", b"\x10\x11"), ("a", b"a"), ("ctrl-@,b", b"\0b"), ("CTRL-X,x", b"\x18x")],
)
def test_keys_are_characters_and_controls(text: str, keys: bytes) -> None:
    assert parse_keys(text) == keys


@pytest.mark.parametrize("text", ["zz", "ctrl-", "ctrl-aa", "a,", "ctrl-1", "é"])
def test_other_words_are_no_keys(text: str) -> None:
    with pytest.raises(InvalidKeys, match=r"Invalid escape keys \(.*\) provided"):
        parse_keys(text)


def test_the_sequence_ends_what_is_passed_on() -> None:
    assert DetachKeys().feed(b"ab\x10\x11cd") == (b"ab", True)


def test_a_sequence_may_come_in_pieces() -> None:
    keys = DetachKeys()
    assert keys.feed(b"a\x10") == (b"a", False)
    assert keys.feed(b"\x11") == (b"", True)


def test_what_was_held_back_is_passed_on_when_another_key_follows() -> None:
    keys = DetachKeys()
    assert keys.feed(b"\x10") == (b"", False)
    assert keys.feed(b"x") == (b"\x10x", False)
    assert keys.feed(b"\x10\x10\x11") == (b"\x10", True)

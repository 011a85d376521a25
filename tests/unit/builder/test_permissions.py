"""``--chmod``."""

from __future__ import annotations

import pytest

from lamina.builder.permissions import BadMode, parse


@pytest.mark.parametrize(
    ("text", "mode", "directory", "expected"),
    [
        ("755", 0o600, False, 0o755),
        ("0", 0o600, True, 0),
        ("4711", 0o600, False, 0o4711),
        ("u=rwX,go=rX", 0o600, False, 0o644),
        ("u=rwX,go=rX", 0o600, True, 0o755),
        ("u=rwX,go=rX", 0o700, False, 0o755),
        ("+x", 0o644, False, 0o755),
        ("a-w", 0o666, False, 0o444),
        ("g+s,+t", 0o755, True, 0o3755),
        ("u=s", 0o755, False, 0o4055),
        ("g=u", 0o640, False, 0o660),
        ("o=", 0o777, False, 0o770),
        ("u+w-x", 0o555, False, 0o655),
        ("ug=rw,o-rwx", 0o777, False, 0o660),
    ],
)
def test_permissions_come_from_text_and_what_was(text: str, mode: int, directory: bool, expected: int) -> None:
    wanted = parse(text)
    assert wanted is not None
    assert oct(wanted.of(mode, directory=directory)) == oct(expected)


@pytest.mark.parametrize("text", ["8", "77777", "u", "u=q", "x=r", "rwx", "u=r,,g=r", " 755", "+-x=ug"])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(BadMode, match="it should be octal string"):
        parse(text)


def test_no_text_changes_nothing() -> None:
    assert parse("") is None

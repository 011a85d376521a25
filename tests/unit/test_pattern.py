"""Go's ``path.Match``."""

import pytest

from lamina.oci.pattern import BadPattern, compiled


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        ("abc", "abc", True),
        ("*", "abc", True),
        ("*", "a/c", False),
        ("*/c", "a/c", True),
        ("b*:1", "bb:1", True),
        ("?", "/", False),
        ("a[a-c]", "ab", True),
        ("a[^a-c]", "ad", True),
        ("a[^a-c]", "ab", False),
        ("a[^b]c", "a/c", False),
        ("a\\*c", "a*c", True),
        ("a\\*c", "abc", False),
        ("[\\]a]", "]", True),
        ("a+", "a+", True),
        ("a", "ab", False),
        ("[z-a]", "b", False),
    ],
)
def test_a_pattern_matches_as_go_does(pattern: str, text: str, matches: bool) -> None:
    assert (compiled(pattern).match(text) is not None) == matches


@pytest.mark.parametrize("pattern", ["[", "[]", "[a", "[a-", "[-a]", "a\\", "[^", "[a-]"])
def test_a_malformed_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(BadPattern, match="syntax error in pattern"):
        compiled(pattern)

"""Subordinate ids as ``subuid(5)`` writes them, and the mapping that they make."""

from __future__ import annotations

from pathlib import Path

from lamina.rootless.subordinate import Range, mapping, ranges


def test_a_user_has_the_ranges_of_its_name_and_of_its_number(tmp_path: Path) -> None:
    file = tmp_path / "subuid"
    file.write_text("me:100000:65536\nother:165536:65536\n1000:300000:10\nme:400000:0\nme:bad\n\n# me:1:1\n")
    assert ranges(str(file), "me", 1000) == [Range(100000, 65536), Range(300000, 10)]
    assert ranges(str(file), "nobody", 5) == []
    assert ranges(str(tmp_path / "absent"), "me", 1000) == []


def test_the_user_is_root_and_the_ranges_follow() -> None:
    assert mapping(1000, [Range(100000, 65536), Range(300000, 10)]) == [
        *(0, 1000, 1),
        *(1, 100000, 65536),
        *(65537, 300000, 10),
    ]

"""Who somebody in a container is on the host."""

from __future__ import annotations

import pytest

from lamina.owners import NOBODY, SAME, Owners, Range, UnmappedOwner

TWO = Owners((Range(0, 100_000, 10), Range(10, 500, 5)), (Range(0, 200_000, 20),))


def test_without_ranges_everybody_is_who_they_are() -> None:
    assert not SAME.are_mapped
    assert SAME.on_host(5, 6) == SAME.inside(5, 6) == (5, 6)


@pytest.mark.parametrize(
    ("inside", "outside"), [((0, 0), (100_000, 200_000)), ((9, 9), (100_009, 200_009)), ((12, 19), (502, 200_019))]
)
def test_ranges_follow_one_another(inside: tuple[int, int], outside: tuple[int, int]) -> None:
    assert TWO.on_host(*inside) == outside
    assert TWO.inside(*outside) == inside


def test_the_root_is_the_first_of_the_ranges() -> None:
    assert TWO.root == (100_000, 200_000)


@pytest.mark.parametrize(("owner", "named"), [((15, 0), 15), ((0, 20), 20), ((-1, 0), -1)])
def test_an_id_beyond_the_ranges_is_refused_in_dockers_words(owner: tuple[int, int], named: int) -> None:
    with pytest.raises(UnmappedOwner) as caught:
        TWO.on_host(*owner)
    assert str(caught.value) == f"Container ID {named} cannot be mapped to a host ID"


def test_somebody_else_is_nobody_inside() -> None:
    assert TWO.inside(0, 200_001) == (NOBODY, 1)

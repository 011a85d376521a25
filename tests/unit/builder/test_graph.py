"""Which stages need which."""

from __future__ import annotations

import pytest

from lamina.builder.graph import CircularDependency, StageGraph
from lamina.dockerfile.parser import parse


def graph(text: str, *, replaced: tuple[str, ...] = (), **variables: str) -> StageGraph:
    return StageGraph(parse(text.encode(), name="Dockerfile"), variables, replaced)


def order(text: str, target: str = "", **variables: str) -> list[int]:
    made = graph(text, **variables)
    stage = made.wanted(target)
    assert stage is not None
    return [one.number for one in made.order(stage)]


def test_only_what_the_target_needs_is_in_the_order_and_after_what_it_needs() -> None:
    text = (
        "FROM x AS a\nFROM x AS unused\nFROM a AS b\nFROM x AS c\nRUN --mount=type=bind,from=b,target=/b true\n"
        "FROM c\nCOPY --from=0 / /\nCOPY --from=image / /\n"
    )
    assert order(text) == [0, 2, 3, 4]
    assert order(text, "b") == [0, 2]
    assert order(text, "1") == [1]
    assert order(text, "A") == [0]


def test_names_may_come_from_arguments_and_the_last_of_equal_ones_counts() -> None:
    assert order("FROM x AS a\nFROM y AS a\nFROM $BASE\n", BASE="a") == [1, 2]
    assert order("FROM x AS a\nFROM x\nCOPY --from=A / /\nFROM x AS a\n", "1") == [0, 1]


def test_a_number_in_from_is_an_image() -> None:
    assert order("FROM x\nFROM 0\n") == [1]


def test_a_later_stage_can_be_copied_from() -> None:
    assert order("FROM x AS a\nCOPY --from=b / /\nFROM x AS b\n", "a") == [1, 0]


def test_a_named_context_takes_a_stages_place() -> None:
    made = graph("FROM x AS a\nFROM x AS b\nCOPY --from=a / /\n", replaced=("a",))
    assert [one.number for one in made.order(made.stages[1])] == [1]


@pytest.mark.parametrize(
    "text",
    [
        "FROM x AS a\nCOPY --from=b / /\nFROM x AS b\nCOPY --from=a / /\n",
        "FROM x AS a\nRUN --mount=from=c,target=/c true\nFROM a AS b\nFROM b AS c\n",
    ],
)
def test_a_circle_is_refused(text: str) -> None:
    with pytest.raises(CircularDependency, match="circular dependency detected on stage: "):
        order(text)


def test_a_very_long_row_of_stages_is_no_problem() -> None:
    text = "FROM x AS s0\n" + "".join(f"FROM s{number} AS s{number + 1}\n" for number in range(3000))
    made = graph(text)
    found = made.order(made.stages[-1])
    assert len(found) == 3001


def test_stages_in_a_row_are_a_chain() -> None:
    chain = graph("FROM x AS a\nFROM a AS b\nFROM scratch\nCOPY --from=b / /\n")
    assert chain.is_chain(chain.order(chain.stages[2]))
    fork = graph("FROM x AS a\nFROM x AS b\nFROM a\nCOPY --from=b / /\n")
    assert not fork.is_chain(fork.order(fork.stages[2]))

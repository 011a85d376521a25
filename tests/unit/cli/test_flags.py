"""docker's flag grammar and its error texts."""

import pytest

from lamina.cli.flags import FlagError, Parsed, Parser, filters, integer, parse_integer, switch, text, texts

FLAGS = (
    switch("all", "", short="a"),
    switch("quiet", "", short="q"),
    switch("human", "", short="H", default=True),
    text("format", ""),
    text("name", "", short="n"),
    texts("env", "", short="e"),
    integer("size", "", short="s"),
    filters(),
)


def parse(*words: str, interspersed: bool = True) -> Parsed:
    return Parser(FLAGS, interspersed=interspersed).parse(words)


@pytest.mark.parametrize(
    "words",
    [
        ("--all", "--name", "x", "arg"),
        ("-a", "-n", "x", "arg"),
        ("-an", "x", "arg"),
        ("-anx", "arg"),
        ("-an=x", "arg"),
        ("--all=true", "--name=x", "arg"),
        ("arg", "--name=x", "-a"),
        ("--all=1", "--name=y", "--name=x", "--", "arg"),
    ],
)
def test_every_spelling_of_a_flag_means_the_same(words: tuple[str, ...]) -> None:
    parsed = parse(*words)
    assert (parsed.values["all"], parsed.values["name"], parsed.arguments) == (True, "x", ["arg"])
    assert parsed.given == {"all", "name"}


def test_defaults_stand_when_a_flag_is_absent() -> None:
    parsed = parse()
    assert parsed.values == {
        "all": False,
        "quiet": False,
        "human": True,
        "format": "",
        "name": "",
        "env": [],
        "size": 0,
        "filter": [],
    }
    assert parsed.given == frozenset()


def test_a_repeatable_flag_keeps_its_values_in_order() -> None:
    assert parse("-e", "A=1", "--env", "B=2", "-eC").values["env"] == ["A=1", "B=2", "C"]


def test_two_parsers_do_not_share_lists() -> None:
    parse("-e", "A")
    assert parse().values["env"] == []


def test_a_switch_can_be_switched_off() -> None:
    assert parse("--human=false").values["human"] is False
    assert parse("-H=f").values["human"] is False


def test_a_switch_takes_no_separate_value() -> None:
    assert parse("--all", "false").arguments == ["false"]


def test_two_dashes_end_the_flags_and_one_is_an_argument() -> None:
    assert parse("-", "--", "-a", "--").arguments == ["-", "-a", "--"]


def test_without_interspersed_arguments_the_first_one_ends_the_flags() -> None:
    parsed = parse("-a", "image", "-q", "--bad", interspersed=False)
    assert parsed.arguments == ["image", "-q", "--bad"]
    assert parsed.values["quiet"] is False


def test_an_alias_fills_the_other_flag() -> None:
    aliased = (text("network", ""), text("net", "", hidden=True, into="network"))
    parsed = Parser(aliased).parse(["--net", "none"])
    assert parsed.values == {"network": "none"}
    assert parsed.given == {"network"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--bad",), "unknown flag: --bad"),
        (("--bad=1",), "unknown flag: --bad"),
        (("-z",), "unknown shorthand flag: 'z' in -z"),
        (("-aqz",), "unknown shorthand flag: 'z' in -z"),
        (("-zq",), "unknown shorthand flag: 'z' in -zq"),
        (("-q=",), "unknown shorthand flag: '=' in -="),
        (("---x",), "bad flag syntax: ---x"),
        (("--=x",), "bad flag syntax: --=x"),
        (("--format",), "flag needs an argument: --format"),
        (("-qn",), "flag needs an argument: 'n' in -n"),
        (
            ("--quiet=foo",),
            'invalid argument "foo" for "-q, --quiet" flag: strconv.ParseBool: parsing "foo": invalid syntax',
        ),
        (("-s", "x"), 'invalid argument "x" for "-s, --size" flag: strconv.ParseInt: parsing "x": invalid syntax'),
        (
            ("-f", "foo"),
            'invalid argument "foo" for "-f, --filter" flag: bad format of filter (expected name=value)',
        ),
    ],
)
def test_a_wrong_flag_is_answered_as_docker_does(words: tuple[str, ...], message: str) -> None:
    with pytest.raises(FlagError) as caught:
        parse(*words)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("given", "number"), [("7", 7), ("-7", -7), ("+7", 7), ("0x1F", 31), ("010", 8), ("0b11", 3), ("1_000", 1000)]
)
def test_numbers_are_go_numbers(given: str, number: int) -> None:
    assert parse_integer(given) == number


@pytest.mark.parametrize("given", ["", " 7", "7 ", "x", "--7", "1.5", "٣", "9223372036854775808"])
def test_what_is_no_go_number_is_refused(given: str) -> None:
    with pytest.raises(ValueError, match=r"strconv\.ParseInt"):
        parse_integer(given)


def test_filters_are_trimmed_and_empty_ones_ignored() -> None:
    assert parse("-f", "Label = a ", "-f", "").values["filter"] == [("label", "a")]

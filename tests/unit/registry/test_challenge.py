from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lamina.registry.challenge import Challenge, parse


def test_a_bearer_challenge_has_its_parameters() -> None:
    header = 'Bearer realm="https://auth.example/token",service="registry.example",scope="repository:a/b:pull,push"'
    parameters = {
        "realm": "https://auth.example/token",
        "service": "registry.example",
        "scope": "repository:a/b:pull,push",
    }
    assert parse([header]) == [Challenge("bearer", parameters)]


def test_several_challenges_in_one_header_and_in_several() -> None:
    expected = [Challenge("basic", {"realm": "a, b"}), Challenge("bearer", {"realm": "https://c"})]
    assert parse(['Basic realm="a, b", Bearer realm="https://c"']) == expected
    assert parse(['Basic realm="a, b"', "bearer REALM=https://c"]) == expected


def test_quoted_pairs_are_unquoted() -> None:
    assert parse([r'Basic realm="a \"b\" \\"']) == [Challenge("basic", {"realm": 'a "b" \\'})]


def test_a_scheme_alone_is_a_challenge() -> None:
    assert parse(["Negotiate", "Basic"]) == [Challenge("negotiate", {}), Challenge("basic", {})]


@given(st.text(max_size=200))
def test_anything_else_is_survived(text: str) -> None:
    for challenge in parse([text, f'Bearer realm="{text}']):
        assert challenge.scheme == challenge.scheme.lower()

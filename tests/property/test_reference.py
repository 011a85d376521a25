"""The reference parser next to the grammar as distribution's documentation gives it."""

import re

from hypothesis import example, given
from hypothesis import strategies as st

from lamina.reference import InvalidReference, _split_domain, parse

DOMAIN_PART = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
DOMAIN = rf"(?:{DOMAIN_PART}(?:\.{DOMAIN_PART})*|\[(?:[a-fA-F0-9:]+)\])(?::[0-9]+)?"
COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
TAG = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
DIGEST = r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}"
GRAMMAR = re.compile(rf"(?:({DOMAIN})/)?({COMPONENT}(?:/{COMPONENT})*)(?::({TAG}))?(?:@({DIGEST}))?\Z")

SHA = "@sha256:" + "0" * 64
pieces = st.sampled_from(
    ["a", "b1", "Z", ".", "_", "__", "-", "--", "/", ":", "@", "localhost", "x.y", "5000", "[::1]", "é", " ", SHA, "["]
)


@given(st.lists(pieces, max_size=8).map("".join))
@example("a___b")
@example("a.-b")
@example("a._b/c")
@example("x.y:80/a--b__c.d:T.-_" + SHA)
@example("[::1]:5000/a")
@example("[]/a")
@example("a:b:c")
@example("a@sha256+b64u.x:" + "0" * 32)
def test_exactly_the_grammar_is_accepted(text: str) -> None:
    domain, remainder = _split_domain(text)
    match = GRAMMAR.match(f"{domain}/{remainder}")
    accepted = parsed(text)
    if match is None or match[1] is None:
        assert accepted is None
    elif match[4] is None or match[4].startswith("sha256:"):
        assert accepted == (match[1], match[2], match[3], match[4])
    else:  # well-formed, but of an algorithm that nobody knows
        assert accepted is None


def parsed(text: str) -> tuple[str, str, str | None, str | None] | None:
    """The parser's answer; ``None`` for a refusal."""
    try:
        reference = parse(text)
    except InvalidReference:
        return None
    return reference.domain, reference.path, reference.tag, str(reference.digest) if reference.digest else None

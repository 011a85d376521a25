"""Docker's reference grammar and its defaults."""

import pytest

from lamina.digest import Digest
from lamina.reference import InvalidReference, Reference, is_tag, parse, parse_tagged

SHA = "sha256:" + "ab" * 32


@pytest.mark.parametrize(
    ("text", "full", "familiar"),
    [
        ("nginx", "docker.io/library/nginx:latest", "nginx:latest"),
        ("library/nginx", "docker.io/library/nginx:latest", "nginx:latest"),
        ("index.docker.io/nginx", "docker.io/library/nginx:latest", "nginx:latest"),
        ("docker.io/user/app:1.2", "docker.io/user/app:1.2", "user/app:1.2"),
        ("localhost/app", "localhost/app:latest", "localhost/app:latest"),
        ("localhost:5000/a/b:t", "localhost:5000/a/b:t", "localhost:5000/a/b:t"),
        ("Upper/app", "Upper/app:latest", "Upper/app:latest"),
        ("[2001:db8::1]:5000/app", "[2001:db8::1]:5000/app:latest", "[2001:db8::1]:5000/app:latest"),
        (f"nginx@{SHA}", f"docker.io/library/nginx@{SHA}", f"nginx@{SHA}"),
        (f"nginx:1@{SHA}", f"docker.io/library/nginx:1@{SHA}", f"nginx:1@{SHA}"),
        ("a.b/c__d--e_f.g", "a.b/c__d--e_f.g:latest", "a.b/c__d--e_f.g:latest"),
    ],
)
def test_a_reference_is_normalised_as_docker_does(text: str, full: str, familiar: str) -> None:
    reference = parse_tagged(text)
    assert str(reference) == full
    assert reference.familiar == familiar
    assert parse(str(reference)) == reference


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "invalid reference format"),
        ("a" * 64, "invalid reference format: ok"),
        ("0" * 64, "cannot specify 64-byte hexadecimal strings"),
        ("Nginx", "repository name must be lowercase"),
        ("docker.io/Nginx", "repository name must be lowercase"),
        (":tag", "invalid reference format"),
        ("a:", "invalid reference format"),
        ("a:-x", "invalid reference format"),
        ("a:" + "t" * 129, "invalid reference format"),
        ("a//b", "invalid reference format"),
        ("/a", "invalid reference format"),
        ("a/", "invalid reference format"),
        ("../a", "invalid reference format"),
        ("a..b", "invalid reference format"),
        ("a___b", "invalid reference format"),
        ("a b", "invalid reference format"),
        ("a\n", "invalid reference format"),
        ("nginx@sha256:abcd", "invalid reference format"),
        ("nginx@md5:" + "0" * 32, "unsupported digest algorithm"),
        ("nginx@sha256:" + "AB" * 32, "invalid checksum digest format"),
        ("x/" + "a" * 256, "repository name must not be more than 255 characters"),
        ("é/a", "invalid reference format"),
    ],
)
def test_a_malformed_reference_is_refused_with_dockers_words(text: str, message: str) -> None:
    if message.endswith("ok"):
        with pytest.raises(InvalidReference, match="cannot specify"):
            parse(text)
        return
    with pytest.raises(InvalidReference) as caught:
        parse(text)
    assert message in str(caught.value)
    assert caught.value.text == text


def test_a_reference_with_a_digest_gets_no_default_tag() -> None:
    assert parse_tagged(f"nginx@{SHA}").tag is None
    assert parse_tagged(f"nginx@{SHA}").digest == Digest(SHA)


def test_a_repository_has_neither_tag_nor_digest() -> None:
    assert parse(f"a/b:c@{SHA}").repository() == Reference("docker.io", "a/b")


@pytest.mark.parametrize(
    ("text", "valid"), [("latest", True), ("_x", True), ("", False), (".x", False), ("a/b", False)]
)
def test_tags_follow_the_grammar(text: str, valid: bool) -> None:
    assert is_tag(text) is valid

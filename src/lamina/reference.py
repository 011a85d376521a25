"""Docker's image references: ``[domain/]path[:tag][@digest]``.

Grammar and defaults: distribution's ``reference`` package, "Grammar" in its documentation. ``nginx`` is
``docker.io/library/nginx:latest``: the first component is a domain only when it holds a dot or a colon, is
``localhost``, or has an upper-case letter.
"""

from __future__ import annotations

from lamina.characters import is_hex
from lamina.digest import Digest, InvalidDigest
from lamina.errors import InvalidArgument
from lamina.typing import NamedTuple

DEFAULT_DOMAIN = "docker.io"
DEFAULT_TAG = "latest"
_LEGACY_DOMAIN = "index.docker.io"
_OFFICIAL = "library/"

_NAME_LENGTH = 255
_TAG_LENGTH = 128
_IDENTIFIER_LENGTH = 64
_LEAST_DIGEST = 32
_ANY_HEX = frozenset("0123456789abcdefABCDEF")
_IPV6 = _ANY_HEX | {":"}


class InvalidReference(InvalidArgument):
    """The text is not an image reference.

    :ivar text: what was given.
    """

    def __init__(self, text: str, why: str = "invalid reference format") -> None:
        super().__init__(why)
        self.text = text


class Reference(NamedTuple):
    """A normalised reference. ``tag`` and ``digest`` may both be ``None``: then it names a repository."""

    domain: str
    path: str
    tag: str | None = None
    digest: Digest | None = None

    @property
    def name(self) -> str:
        """Repository with its domain: ``docker.io/library/nginx``."""
        return f"{self.domain}/{self.path}"

    @property
    def familiar_name(self) -> str:
        """Repository as Docker prints it: ``nginx``."""
        if self.domain != DEFAULT_DOMAIN:
            return self.name
        rest = self.path.removeprefix(_OFFICIAL)
        return self.path if "/" in rest or rest == self.path else rest

    @property
    def familiar(self) -> str:
        """The reference as Docker prints it: ``nginx:latest``."""
        return self.familiar_name + self._suffix()

    def __str__(self) -> str:
        return self.name + self._suffix()

    def _suffix(self) -> str:
        return (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")

    def tagged(self) -> Reference:
        """The same with the default tag when it has neither tag nor digest."""
        return self if self.tag or self.digest else self._replace(tag=DEFAULT_TAG)

    def repository(self) -> Reference:
        """The same without tag and digest."""
        return Reference(self.domain, self.path)


def parse(text: str) -> Reference:
    """Parse what a user typed, without adding a tag.

    Raises :class:`InvalidReference` with Docker's message.
    """
    if is_hex(text, _IDENTIFIER_LENGTH):
        raise InvalidReference(text, f"invalid repository name ({text}), cannot specify 64-byte hexadecimal strings")
    domain, remainder = _split_domain(text)
    name, at, digest_text = remainder.partition("@")
    path, colon, tag = name.partition(":")
    if path != path.lower():
        raise InvalidReference(text, "invalid reference format: repository name must be lowercase")
    well_formed = _is_domain(domain) and _is_path(path) and (not colon or is_tag(tag))
    if not well_formed or (at and not _looks_like_digest(digest_text)):
        raise InvalidReference(text)
    digest = None
    if at:
        try:
            digest = Digest(digest_text)
        except InvalidDigest as error:
            raise InvalidReference(text, str(error)) from error
    if len(path) > _NAME_LENGTH:
        raise InvalidReference(text, f"repository name must not be more than {_NAME_LENGTH} characters")
    return Reference(domain, path, tag or None, digest)


def parse_tagged(text: str) -> Reference:
    """Parse what a user typed, with ``:latest`` where neither tag nor digest is given."""
    return parse(text).tagged()


# The grammar, by hand: compiling it as regular expressions takes longer than all the rest of a short command's parsing.


def is_tag(text: str) -> bool:
    """Whether ``text`` can be a tag: up to 128 letters, digits, ``_``, ``.`` and ``-``, the last two not first."""
    return 0 < len(text) <= _TAG_LENGTH and text[0] not in ".-" and _is_word(text, "_.-")


def _is_domain(text: str) -> bool:
    if text.startswith("["):
        address, bracket, port = text[1:].partition("]")
        if not bracket or not address or not _IPV6.issuperset(address):
            return False
        return not port or (port[0] == ":" and _is_number(port[1:]))
    host, colon, port = text.partition(":")
    if colon and not _is_number(port):
        return False
    return all(_is_word(label, "-") and label[0] != "-" and label[-1] != "-" for label in host.split("."))


def _is_path(text: str) -> bool:
    return all(_is_component(component) for component in text.split("/"))


def _is_component(text: str) -> bool:
    """Lower-case letters and digits, in groups separated by one dot, one or two underscores, or any dashes."""
    if not _is_word(text, "._-") or text != text.lower():
        return False
    words = text.replace(".", " ").replace("_", " ").replace("-", " ").split(" ")
    if not words[0] or not words[-1]:
        return False
    if all(words):
        return True
    separators = "".join(" " if character.isalnum() else character for character in text).split()
    return all(run in (".", "_", "__") or not run.strip("-") for run in separators)


def _looks_like_digest(text: str) -> bool:
    algorithm, colon, value = text.partition(":")
    for separator in "+._":
        algorithm = algorithm.replace(separator, "-")
    parts = algorithm.split("-")
    if not all(_is_word(part) and part[0].isalpha() for part in parts):
        return False
    return bool(colon) and len(value) >= _LEAST_DIGEST and _ANY_HEX.issuperset(value)


def _is_word(text: str, besides: str = "") -> bool:
    """Whether ``text`` has only ASCII letters, digits and ``besides``, and is not empty."""
    if not text or not text.isascii():
        return False
    for character in besides:
        text = text.replace(character, "0")
    return text.isalnum()


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _split_domain(text: str) -> tuple[str, str]:
    first, slash, rest = text.partition("/")
    if not slash or ("." not in first and ":" not in first and first != "localhost" and first == first.lower()):
        domain, remainder = DEFAULT_DOMAIN, text
    else:
        domain, remainder = first, rest
    if domain == _LEGACY_DOMAIN:
        domain = DEFAULT_DOMAIN
    if domain == DEFAULT_DOMAIN and "/" not in remainder:
        remainder = _OFFICIAL + remainder
    return domain, remainder

"""Docker's image references: ``[domain/]path[:tag][@digest]``.

Grammar and defaults: distribution's ``reference`` package, "Grammar" in its documentation. ``nginx`` is
``docker.io/library/nginx:latest``: the first component is a domain only when it holds a dot or a colon, is
``localhost``, or has an upper-case letter.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from lamina.digest import Digest, InvalidDigest
from lamina.errors import InvalidArgument

DEFAULT_DOMAIN = "docker.io"
DEFAULT_TAG = "latest"
_LEGACY_DOMAIN = "index.docker.io"
_OFFICIAL = "library/"

_DOMAIN_PART = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_DOMAIN = rf"(?:{_DOMAIN_PART}(?:\.{_DOMAIN_PART})*|\[(?:[a-fA-F0-9:]+)\])(?::[0-9]+)?"
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_PATH = rf"{_COMPONENT}(?:/{_COMPONENT})*"
_DIGEST = r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}"
_NAME = re.compile(rf"(?:({_DOMAIN})/)?({_PATH})\Z")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}\Z")
_REFERENCE = re.compile(rf"((?:{_DOMAIN}/)?{_PATH})(?::([A-Za-z0-9_][A-Za-z0-9_.-]{{0,127}}))?(?:@({_DIGEST}))?\Z")
_IDENTIFIER = re.compile(r"[a-f0-9]{64}\Z")
_NAME_LENGTH = 255


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
    if _IDENTIFIER.match(text):
        raise InvalidReference(text, f"invalid repository name ({text}), cannot specify 64-byte hexadecimal strings")
    domain, remainder = _split_domain(text)
    path = remainder.partition("@")[0].partition(":")[0]
    if path != path.lower():
        raise InvalidReference(text, "invalid reference format: repository name must be lowercase")
    match = _REFERENCE.match(f"{domain}/{remainder}")
    if match is None:
        raise InvalidReference(text)
    name, tag, digest_text = match.groups()
    digest = None
    if digest_text is not None:
        try:
            digest = Digest(digest_text)
        except InvalidDigest as error:
            raise InvalidReference(text, str(error)) from error
    named = _NAME.match(name)
    if named is None or named[1] is None:
        raise InvalidReference(text)
    if len(named[2]) > _NAME_LENGTH:
        raise InvalidReference(text, f"repository name must not be more than {_NAME_LENGTH} characters")
    return Reference(named[1], named[2], tag, digest)


def parse_tagged(text: str) -> Reference:
    """Parse what a user typed, with ``:latest`` where neither tag nor digest is given."""
    return parse(text).tagged()


def is_tag(text: str) -> bool:
    """Whether ``text`` can be a tag."""
    return _TAG.match(text) is not None


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

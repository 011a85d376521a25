"""``--cache-from`` and ``--cache-to``: what they say.

``type=registry,ref=example.com/app:cache,mode=max``, ``type=local,dest=DIRECTORY``, ``type=local,src=DIRECTORY``,
``type=inline``; a name alone means an image, here or in its registry.
"""

from __future__ import annotations

from lamina.builder import settings
from lamina.digest import Digest, InvalidDigest
from lamina.errors import InvalidArgument
from lamina.reference import InvalidReference, Reference, parse_tagged
from lamina.typing import NamedTuple

_LATEST = "latest"


class CacheImport(NamedTuple):
    """One ``--cache-from``.

    :ivar kind: ``image``: a name, looked for here first; ``registry``; ``local``: a directory.
    :ivar name: the image's name, or the directory.
    :ivar tag: which of a directory's caches.
    :ivar digest: of the cache's manifest in a directory; wins over ``tag``.
    """

    kind: str
    name: str
    tag: str = _LATEST
    digest: Digest | None = None

    def __str__(self) -> str:
        return self.name


class CacheExport(NamedTuple):
    """One ``--cache-to``.

    :ivar kind: ``registry``, ``local`` or ``inline``.
    :ivar name: the reference, or the directory.
    :ivar all: also the steps of stages that the result only copies from (``mode=max``).
    :ivar forgiving: a failure is a warning (``ignore-error=true``).
    """

    kind: str
    name: str = ""
    all: bool = False
    tag: str = _LATEST
    forgiving: bool = False


def parse_imports(text: str) -> list[CacheImport]:
    """The value of one ``--cache-from``. Raises ``InvalidArgument``."""
    if "=" not in text:
        return [CacheImport("image", name) for name in settings.fields(text) if name]
    values = settings.parse(text)
    kind = _kind(values, ("registry", "local"), "importer")
    if kind == "registry":
        return [CacheImport("registry", str(_reference(_required(values, "ref", kind))))]
    digest = values.get("digest")
    try:
        wanted = Digest(digest) if digest else None
    except InvalidDigest as error:
        raise InvalidArgument(f"{text}: {error}") from None
    return [CacheImport("local", _required(values, "src", kind), values.get("tag") or _LATEST, wanted)]


def parse_export(text: str) -> CacheExport:
    """The value of one ``--cache-to``. Raises ``InvalidArgument``."""
    if "=" not in text:
        return CacheExport("registry", str(_reference(text)))
    values = settings.parse(text)
    kind = _kind(values, ("registry", "local", "inline"), "exporter")
    forgiving = settings.boolean(values, "ignore-error")
    if kind == "inline":
        return CacheExport("inline", forgiving=forgiving)
    mode = values.get("mode", "min")
    if mode not in ("min", "max"):
        raise InvalidArgument(f"{text}: mode {mode!r} is not supported: choose min or max")
    name = _required(values, "dest", kind) if kind == "local" else str(_reference(_required(values, "ref", kind)))
    return CacheExport(kind, name, mode == "max", values.get("tag") or _LATEST, forgiving)


def _kind(values: dict[str, str], known: tuple[str, ...], what: str) -> str:
    kind = values.get("type", "")
    if not kind:
        raise InvalidArgument("a cache needs a type: type=registry,ref=...")
    if kind not in known:
        raise InvalidArgument(f"unknown cache {what}: {kind!r}: choose one of {', '.join(known)}")
    return kind


def _required(values: dict[str, str], name: str, kind: str) -> str:
    value = values.get(name)
    if not value:
        raise InvalidArgument(f"{name} is required for the cache type {kind}")
    return value


def _reference(text: str) -> Reference:
    try:
        return parse_tagged(text)
    except InvalidReference as error:
        raise InvalidArgument(f'invalid reference "{text}": {error}') from None

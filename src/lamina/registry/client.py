"""The registry protocol (OCI distribution-spec 1.1; Docker's HTTP API V2), reading and writing.

Synchronous and thread-safe: several threads may use one client at once.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from types import TracebackType
from urllib.parse import urlsplit

from lamina.digest import Digest, DigestMismatch, InvalidDigest, hasher
from lamina.oci import mediatype
from lamina.oci.descriptor import Descriptor
from lamina.oci.document import MANIFEST_LIMIT, load, member
from lamina.reference import Reference, is_tag
from lamina.registry.answer import Answer
from lamina.registry.authentication import Authenticator
from lamina.registry.credentials import Credential, CredentialSource, NoCredentials
from lamina.registry.download import BlobReader
from lamina.registry.endpoint import endpoints
from lamina.registry.errors import BlobUnknown, ConnectionFailed, ManifestUnknown, NameUnknown, ServerFailure, printable
from lamina.registry.session import Call, Session, checked
from lamina.registry.settings import Settings
from lamina.registry.transport import Request, Transport
from lamina.registry.upload import Uploader
from lamina.typing import TYPE_CHECKING, NamedTuple, Self

if TYPE_CHECKING:
    from lamina.registry.search import SearchResult

_ACCEPT = ", ".join(
    (
        mediatype.DOCKER_MANIFEST,
        mediatype.DOCKER_LIST,
        mediatype.OCI_MANIFEST,
        mediatype.OCI_INDEX,
        mediatype.DOCKER_SCHEMA1_SIGNED + ";q=0.1",
        "application/json;q=0.1",
    )
)
_TAGS_LIMIT = 16 << 20
_PAGE_LIMIT = 1000
_NEXT = re.compile(r'<([^>]+)>\s*;[^,]*\brel="?next"?')


class FetchedManifest(NamedTuple):
    """A manifest or an index as it came.

    :ivar media_type: the ``Content-Type``; ``""`` when there was none.
    :ivar digest: of ``raw``; the one that was asked for when one was.
    """

    raw: bytes
    media_type: str
    digest: Digest


class RegistryClient:
    """Talks to any number of registries.

    :param credentials: who the user is, by registry.
    :param wait: how to wait some seconds between attempts.
    """

    def __init__(
        self,
        settings: Settings,
        credentials: CredentialSource | None = None,
        *,
        wait: Callable[[float], object] = time.sleep,
    ) -> None:
        self.settings = settings
        self._wait = wait
        self._transport = Transport(settings, wait=wait)
        self._authenticator = Authenticator(self._transport, credentials or NoCredentials())
        self._session = Session(self._transport, self._authenticator)
        self._uploader = Uploader(self._session, self._transport)

    def close(self) -> None:
        """Close idle connections."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def delay(self, attempt: int) -> float:
        """Seconds to wait after the failed attempt number ``attempt`` of something that may be tried again."""
        return self._transport.delay(attempt)

    def credential(self, reference: Reference) -> Credential | None:
        """The credentials that requests for ``reference`` use when they are asked for."""
        return self._authenticator.credential(endpoints(reference.domain, self.settings, writing=True)[0])

    # Reading

    def manifest(self, reference: Reference) -> FetchedManifest:
        """The manifest or index of a tag or digest; the digest wins when there are both.

        :raises ManifestUnknown: there is none.
        :raises DigestMismatch: it is another than the digest says, or than the registry's own header says.
        """
        name = reference.digest or reference.tag or ""
        call = Call("GET", f"manifests/{name}", {"Accept": _ACCEPT}, missing=ManifestUnknown)
        raw, answer = self._document(reference, call, MANIFEST_LIMIT)
        announced, media_type = answer.header("Docker-Content-Digest"), answer.header("Content-Type")
        what = f"manifest of {reference.familiar}"
        # Schema 1 has its digest over a part of itself; whoever parses it refuses it.
        if announced and not media_type.startswith((mediatype.DOCKER_SCHEMA1, mediatype.DOCKER_SCHEMA1_SIGNED)):
            _verify(what, raw, _digest(announced, what))
        if reference.digest:
            _verify(what, raw, reference.digest)
        return FetchedManifest(raw, media_type, reference.digest or Digest.of(raw))

    def blob(self, reference: Reference, descriptor: Descriptor) -> BlobReader:
        """A blob of ``reference``'s repository, to be iterated over.

        The first request is sent when iteration begins. Beside what the reader raises: :class:`BlobUnknown`.
        """

        def open_at(offset: int) -> Answer:
            headers = {"Range": f"bytes={offset}-"} if offset else {}
            call = Call("GET", f"blobs/{descriptor.digest}", headers, expected=_statuses(offset), missing=BlobUnknown)
            return self._session.call(reference, call, wait=reader.wait)[0]

        reader = BlobReader(open_at, descriptor, self.settings.attempts, self._transport.delay)
        return reader

    def foreign_blob(self, url: str, descriptor: Descriptor) -> BlobReader:
        """A blob from the address that its descriptor gives. No credentials are sent, whoever asks for them."""

        def open_at(offset: int) -> Answer:
            headers = {"Range": f"bytes={offset}-"} if offset else {}
            self._transport.check_foreign(url)
            answer = self._transport.send(Request("GET", url, headers), wait=reader.wait)
            return checked(answer, _statuses(offset), BlobUnknown)

        reader = BlobReader(open_at, descriptor, self.settings.attempts, self._transport.delay)
        return reader

    def tags(self, reference: Reference) -> list[str]:
        """All tags of a repository.

        :raises NameUnknown: there is no such repository.
        """
        found: list[str] = []
        path = "tags/list?n=1000"
        for _ in range(_PAGE_LIMIT):
            raw, answer = self._document(reference, Call("GET", path, missing=NameUnknown), _TAGS_LIMIT)
            found += _tags(raw, f"tags of {reference.familiar_name}")
            following = _NEXT.search(answer.header("Link"))
            query = urlsplit(following[1]).query if following else ""
            if not query:
                return found
            path = f"tags/list?{query}"
        raise ServerFailure("UNKNOWN", f"tags of {reference.familiar_name}: more than {_PAGE_LIMIT} pages")

    def search(self, term: str, limit: int) -> list[SearchResult]:
        """See :func:`lamina.registry.search.search`. Asks without credentials."""
        from lamina.registry.search import search  # for one command

        return search(self._transport, term, limit)

    def _document(self, reference: Reference, call: Call, limit: int) -> tuple[bytes, Answer]:
        """A whole answer and its headers; asked for again when it breaks off."""
        for attempt in range(1, self.settings.attempts + 1):
            answer, _ = self._session.call(reference, call)
            try:
                with answer:
                    return answer.read_all(limit), answer
            except ConnectionFailed:
                if attempt == self.settings.attempts:
                    raise
            self._wait(self.delay(attempt))
        raise AssertionError("unreachable: the last attempt returns or raises")

    # Writing

    def blob_exists(self, reference: Reference, digest: Digest) -> int | None:
        """The size of a blob that the repository has, ``None`` when it has none. Asks as one who is about to push."""
        call = Call("HEAD", f"blobs/{digest}", expected=(200, 404), writing=True)
        answer, _ = self._session.call(reference, call)
        with answer:
            if answer.status == 404:
                return None
            text = answer.header("Content-Length")
        return int(text) if text.isascii() and text.isdigit() else None

    def mount_blob(self, reference: Reference, digest: Digest, source: str) -> bool:
        """Make a blob of the repository ``source`` of the same registry a blob of this one; whether that worked."""
        return self._uploader.mount(reference, digest, source)

    def upload_blob(
        self, reference: Reference, chunks: Iterable[bytes], *, known: Descriptor | None = None
    ) -> Descriptor:
        """Send a blob, once; its digest and size as sent.

        :param known: digest and size when they are known beforehand: one request less.
        """
        return self._uploader.upload(reference, chunks, known)

    def put_manifest(self, reference: Reference, raw: bytes, media_type: str) -> Digest:
        """Store a manifest under the reference's tag, or under its digest when it has no tag; its digest.

        :raises DigestMismatch: the registry stored something else.
        """
        digest = Digest.of(raw)
        call = Call(
            "PUT",
            f"manifests/{reference.tag or digest}",
            {"Content-Type": media_type},
            raw,
            expected=(200, 201, 202),
            missing=NameUnknown,
            writing=True,
        )
        answer, _ = self._session.call(reference, call)
        with answer:
            announced = answer.header("Docker-Content-Digest")
        what = f"manifest of {reference.familiar}"
        if announced:
            _verify(what, raw, _digest(announced, what))
        return digest


def _statuses(offset: int) -> tuple[int, ...]:
    return (200, 206) if offset else (200,)


def _digest(text: str, what: str) -> Digest:
    try:
        return Digest(text)
    except InvalidDigest as error:
        raise ServerFailure(
            "UNKNOWN", f"{what}: the registry's Docker-Content-Digest is {printable(text)!r}"
        ) from error


def _verify(what: str, raw: bytes, expected: Digest) -> None:
    seen = hasher(expected.algorithm)
    seen.update(raw)
    actual = Digest.from_hash(seen, expected.algorithm)
    if actual != expected:
        raise DigestMismatch(what, expected, actual)


def _tags(raw: bytes, what: str) -> list[str]:
    tags: list[str] = member(load(raw, what, _TAGS_LIMIT), "tags", list, what, [])
    unusable = next((tag for tag in tags if not isinstance(tag, str) or not is_tag(tag)), None)
    if unusable is not None:
        raise ServerFailure("UNKNOWN", f"{what}: {printable(repr(unusable))} is not a tag")
    return tags

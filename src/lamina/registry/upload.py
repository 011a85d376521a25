"""Blobs on their way out: a session, one streamed request, a commit by digest.

Protocol: distribution-spec, "Pushing blobs".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from urllib.parse import urlencode, urlsplit, urlunsplit

from lamina.contextlib import suppress
from lamina.digest import Digest, DigestMismatch, hasher
from lamina.errors import LaminaError, Unavailable
from lamina.oci.descriptor import Descriptor
from lamina.reference import Reference
from lamina.registry.answer import Answer
from lamina.registry.endpoint import Endpoint
from lamina.registry.errors import NameUnknown, ServerFailure
from lamina.registry.http import Body
from lamina.registry.session import Call, Session, checked, scopes
from lamina.registry.transport import Request, Transport

_START = "blobs/uploads/"
_BYTES = {"Content-Type": "application/octet-stream"}


class Uploader:
    """Writes blobs. Thread-safe."""

    def __init__(self, session: Session, transport: Transport) -> None:
        self._session = session
        self._transport = transport

    def mount(self, reference: Reference, digest: Digest, source: str) -> bool:
        """See :meth:`RegistryClient.mount_blob`. A session that the registry opens instead is given up again."""
        query = urlencode({"mount": digest, "from": source})
        call = self._start_call(f"{_START}?{query}")._replace(expected=(201, 202), mount_from=source)
        answer, endpoint = self._session.call(reference, call)
        with answer:
            if answer.status == 201:
                return True
            place = self._location(answer)
        self._send(reference, endpoint, "DELETE", place).close()
        return False

    def upload(self, reference: Reference, chunks: Iterable[bytes], known: Descriptor | None) -> Descriptor:
        """See :meth:`RegistryClient.upload_blob`."""
        answer, endpoint = self._session.call(reference, self._start_call(_START))
        with answer:
            place = self._location(answer)
        counted = _Counted(chunks, known.digest.algorithm if known else "sha256")
        try:
            return self._fill(reference, endpoint, place, counted, known)
        except Unavailable:
            # Whoever tries again opens a session of its own; of this one nothing is needed any more.
            with suppress(LaminaError):
                self._send(reference, endpoint, "DELETE", place, attempts=1).close()
            raise

    def _fill(
        self, reference: Reference, endpoint: Endpoint, place: str, counted: _Counted, known: Descriptor | None
    ) -> Descriptor:
        """Send the bytes into an open session and end it."""
        if known is None:
            with checked(
                self._send(reference, endpoint, "PATCH", place, body=counted, headers=_BYTES), (202, 204)
            ) as answer:
                place = self._location(answer)
            self._commit(reference, endpoint, place, counted.digest)
            return Descriptor("", counted.digest, counted.size)
        headers = {**_BYTES, "Content-Length": str(known.size)}
        url = _with_digest(place, known.digest)
        checked(self._send(reference, endpoint, "PUT", url, body=counted, headers=headers), (201, 204)).close()
        if counted.digest != known.digest:
            raise DigestMismatch(f"blob {known.digest}", known.digest, counted.digest)
        return known

    def _start_call(self, path: str) -> Call:
        return Call("POST", path, {"Content-Length": "0"}, b"", (202,), NameUnknown, writing=True)

    def _commit(self, reference: Reference, endpoint: Endpoint, place: str, digest: Digest) -> None:
        url = _with_digest(place, digest)
        with self._send(reference, endpoint, "PUT", url, body=b"", headers={"Content-Length": "0"}) as answer:
            if answer.status == 404:
                # A first attempt whose answer was lost has ended the session: then the blob is there.
                exists, _ = self._session.call(reference, Call("HEAD", f"blobs/{digest}", writing=True))
                exists.close()
                return
            checked(answer, (201, 204))

    def _send(
        self,
        reference: Reference,
        endpoint: Endpoint,
        method: str,
        url: str,
        *,
        body: Body = None,
        headers: dict[str, str] | None = None,
        attempts: int = 0,
    ) -> Answer:
        wanted = scopes(reference, Call(method, "", writing=True))
        return self._session.send(endpoint, Request(method, url, headers or {}, body=body, attempts=attempts), wanted)

    def _location(self, answer: Answer) -> str:
        location = answer.header("Location")
        if not location:
            raise ServerFailure("UNKNOWN", f"{answer.what}: the registry did not say where to upload", answer.status)
        return self._transport.checked_location(answer.url, location)


class _Counted:
    """Chunks, counted and hashed as they pass."""

    def __init__(self, chunks: Iterable[bytes], algorithm: str) -> None:
        self._chunks = chunks
        self._algorithm = algorithm
        self._hasher = hasher(algorithm)
        self.size = 0

    @property
    def digest(self) -> Digest:
        return Digest.from_hash(self._hasher, self._algorithm)

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            if chunk:
                self._hasher.update(chunk)
                self.size += len(chunk)
                yield chunk


def _with_digest(url: str, digest: Digest) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(query="&".join(filter(None, (parts.query, urlencode({"digest": digest}))))))

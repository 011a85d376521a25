"""A registry in this process that behaves, and misbehaves on demand.

``registry.on("GET", "/v2/x/blobs/", answer)`` puts ``answer`` in front of the registry's own behaviour: it is called
with each :class:`Asked` whose method and path begin so, and gives a :class:`Reply`, or ``None`` to let the registry
answer itself.
"""

from __future__ import annotations

import json
import ssl
import threading
import urllib.parse
from collections.abc import Callable, Iterable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from support.images import TestImage, sha256


class Asked(NamedTuple):
    """One request as it came."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes


class Reply(NamedTuple):
    """What to answer.

    :ivar body: bytes, or pieces that are sent in chunked encoding.
    :ivar length: the ``Content-Length`` to claim; when it is more than ``body`` has, the connection breaks off.
    """

    status: int = 200
    headers: Mapping[str, str] = {}
    body: bytes | Iterable[bytes] = b""
    length: int | None = None


Answer = Callable[[Asked], Reply | None]


def error(status: int, code: str, message: str = "", headers: dict[str, str] | None = None) -> Reply:
    """An error document."""
    document = {"errors": [{"code": code, "message": message}]}
    return Reply(status, {"Content-Type": "application/json", **(headers or {})}, json.dumps(document).encode())


def once(reply: Reply) -> Answer:
    """Give ``reply`` the first time, then nothing."""
    return times(1, reply)


def times(number: int, reply: Reply) -> Answer:
    """Give ``reply`` so many times, then nothing."""
    left = [number]
    lock = threading.Lock()

    def answer(asked: Asked) -> Reply | None:
        with lock:
            left[0] -= 1
            return reply if left[0] >= 0 else None

    return answer


class FakeRegistry:
    """One registry on the loopback interface; a context manager.

    :param certificate: paths of a certificate and its key: then it speaks TLS.
    :param client_authority: path of the certificate that vouches for clients, who must show one then.

    :ivar blobs: content by digest, for all repositories.
    :ivar owners: which repositories have a blob.
    :ivar manifests: media type and content by repository and by tag or digest.
    :ivar asked: every request, in order.
    """

    def __init__(self, *, certificate: tuple[str, str] | None = None, client_authority: str = "") -> None:
        self.blobs: dict[str, bytes] = {}
        self.owners: dict[str, set[str]] = {}
        self.manifests: dict[tuple[str, str], tuple[str, bytes]] = {}
        self.asked: list[Asked] = []
        self._answers: list[tuple[str, str, Answer]] = []
        self._uploads: dict[str, bytes] = {}
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            if client_authority:
                context.verify_mode = ssl.CERT_REQUIRED
                context.load_verify_locations(client_authority)
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.port = self._server.server_address[1]
        self.address = f"127.0.0.1:{self.port}"
        self.url = f"http://{self.address}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> FakeRegistry:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    # What it holds

    def add_blob(self, data: bytes, repository: str = "x") -> str:
        digest = sha256(data)
        self.blobs[digest] = data
        self.owners.setdefault(digest, set()).add(repository)
        return digest

    def add_manifest(
        self, document: bytes | dict[str, Any], media_type: str, name: str = "latest", repository: str = "x"
    ) -> str:
        """Store a manifest under ``name`` and its digest; its digest."""
        raw = document if isinstance(document, bytes) else json.dumps(document).encode()
        digest = sha256(raw)
        self.manifests[(repository, name)] = self.manifests[(repository, digest)] = (media_type, raw)
        return digest

    def add(self, image: TestImage, repository: str = "x", tag: str = "latest") -> str:
        """Store an image; its reference."""
        for blob in image.blobs():
            self.add_blob(blob.data, repository)
        self.add_manifest(image.manifest, image.manifest_media_type, tag, repository)
        return f"{self.address}/{repository}:{tag}"

    def on(self, method: str, path: str, answer: Answer | Reply) -> None:
        """See the module's first lines. A plain :class:`Reply` is given every time."""
        given = answer if callable(answer) else lambda asked: answer
        self._answers.insert(0, (method, path, given))

    def paths(self, method: str, part: str = "") -> list[str]:
        """Paths of the requests so far with ``method`` whose path has ``part`` in it."""
        return [asked.path for asked in self.asked if asked.method == method and part in asked.path]

    # What it does

    def reply(self, asked: Asked) -> Reply:
        self.asked.append(asked)
        for method, path, answer in self._answers:
            if method == asked.method and asked.path.startswith(path):
                reply = answer(asked)
                if reply is not None:
                    return reply
        return self._own(asked)

    def _own(self, asked: Asked) -> Reply:
        if asked.path == "/v2/":
            return Reply(200, {}, b"{}")
        repository, _, rest = asked.path.removeprefix("/v2/").partition("/blobs/")
        if rest.startswith("uploads/"):
            return self._upload(asked, repository, rest.removeprefix("uploads/"))
        if rest:
            return self._blob(asked, repository, rest)
        repository, _, name = asked.path.removeprefix("/v2/").partition("/manifests/")
        if name:
            return self._manifest(asked, repository, name)
        repository = asked.path.removeprefix("/v2/").removesuffix("/tags/list")
        tags = sorted(name for owner, name in self.manifests if owner == repository and ":" not in name)
        if not tags:
            return error(404, "NAME_UNKNOWN", "repository name not known to registry")
        return Reply(200, {"Content-Type": "application/json"}, json.dumps({"name": repository, "tags": tags}).encode())

    def _manifest(self, asked: Asked, repository: str, name: str) -> Reply:
        if asked.method == "PUT":
            digest = self.add_manifest(asked.body, asked.headers["content-type"], name, repository)
            return Reply(201, {"Docker-Content-Digest": digest})
        media_type, raw = self.manifests.get((repository, name), ("", b""))
        if not media_type:
            return error(404, "MANIFEST_UNKNOWN", "manifest unknown")
        return Reply(200, {"Content-Type": media_type, "Docker-Content-Digest": sha256(raw)}, raw)

    def _blob(self, asked: Asked, repository: str, digest: str) -> Reply:
        data = self.blobs.get(digest)
        if data is None or repository not in self.owners[digest]:
            return error(404, "BLOB_UNKNOWN", "blob unknown to registry")
        wanted = asked.headers.get("range", "")
        if not wanted:
            return Reply(200, {"Content-Type": "application/octet-stream"}, data)
        begin = int(wanted.removeprefix("bytes=").partition("-")[0])
        return Reply(206, {"Content-Range": f"bytes {begin}-{len(data) - 1}/{len(data)}"}, data[begin:])

    def _upload(self, asked: Asked, repository: str, session: str) -> Reply:
        if asked.method == "POST":
            digest, source = asked.query.get("mount", ""), asked.query.get("from", "")
            if source in self.owners.get(digest, set()):
                self.owners[digest].add(repository)
                return Reply(201, {"Location": f"/v2/{repository}/blobs/{digest}", "Docker-Content-Digest": digest})
            session = str(len(self._uploads))
            self._uploads[session] = b""
        elif asked.method == "DELETE":
            return Reply(204)
        else:
            self._uploads[session] += asked.body
        if asked.method == "PUT":
            if sha256(self._uploads[session]) != asked.query["digest"]:
                return error(400, "DIGEST_INVALID", "provided digest did not match uploaded content")
            return Reply(201, {"Docker-Content-Digest": self.add_blob(self._uploads[session], repository)})
        return Reply(202, {"Location": f"/v2/{repository}/blobs/uploads/{session}", "Range": "0-0"})


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up in the middle is what half of the tests are about."""


def _handler(registry: FakeRegistry) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            pass

        def _answer(self) -> None:
            path, _, query = self.path.partition("?")
            headers = {name.lower(): value for name, value in self.headers.items()}
            asked = Asked(self.command, path, dict(urllib.parse.parse_qsl(query)), headers, self._body(headers))
            reply = registry.reply(asked)
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            if isinstance(reply.body, bytes):
                length = len(reply.body) if reply.length is None else reply.length
                self.send_header("Content-Length", str(length))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(reply.body)
                self.close_connection = length > len(reply.body) and self.command != "HEAD"
                return
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for piece in reply.body:
                self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
            self.wfile.write(b"0\r\n\r\n")

        def _body(self, headers: dict[str, str]) -> bytes:
            if headers.get("transfer-encoding") != "chunked":
                return self.rfile.read(int(headers.get("content-length", "0")))
            body = b""
            while size := int(self.rfile.readline().strip() or b"0", 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body

    for method in ("GET", "HEAD", "PUT", "POST", "PATCH", "DELETE"):
        setattr(Handler, f"do_{method}", Handler._answer)
    return Handler

"""A web server on the loopback that serves what a test puts there, and git repositories."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import NamedTuple

#: Git without anything of the user's, so that commits are the same everywhere.
GIT_ENVIRONMENT = {
    "PATH": os.environ.get("PATH", os.defpath),
    "HOME": "/nonexistent",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_AUTHOR_NAME": "author",
    "GIT_AUTHOR_EMAIL": "author@example.com",
    "GIT_COMMITTER_NAME": "committer",
    "GIT_COMMITTER_EMAIL": "committer@example.com",
    "GIT_AUTHOR_DATE": "1600000000 +0000",
    "GIT_COMMITTER_DATE": "1600000000 +0000",
}


class Page(NamedTuple):
    """What one path answers.

    :ivar broken: how many bytes are sent before the connection is closed, once; ``None`` for all.
    """

    data: bytes = b""
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    broken: int | None = None


class Website:
    """A server. ``pages`` may be changed at any time.

    :ivar url: without a slash at the end.
    :ivar asked: method and target of every request, in order.
    :ivar repositories: directory whose bare repositories are served below ``/git/``.
    """

    def __init__(self, repositories: Path) -> None:
        self.pages: dict[str, Page] = {}
        self.asked: list[str] = []
        self.repositories = repositories
        self.url = ""


@contextmanager
def website(repositories: Path) -> Iterator[Website]:
    """One, as long as the context lasts."""
    site = Website(repositories)

    class Handler(_Handler):
        served = site

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    site.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    served: Website

    def log_message(self, format: str, *args: object) -> None:
        """Tests look at ``asked``."""

    def do_GET(self) -> None:
        site = self.served
        site.asked.append(f"{self.command} {self.path}")
        path, _, query = self.path.partition("?")
        if path.startswith("/git/"):
            self._git(path.removeprefix("/git"), query)
            return
        page = site.pages.get(path) or site.pages.get(self.path) or Page(b"no such page", 404)
        unchanged = self.headers.get("If-None-Match")
        if unchanged and ("ETag", unchanged) in page.headers:
            self.send_response(304)
            self.end_headers()
            return
        self.send_response(page.status)
        for name, value in page.headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(page.data)))
        self.end_headers()
        if page.broken is not None:
            site.pages[path] = page._replace(broken=None)
            self.wfile.write(page.data[: page.broken])
            self.close_connection = True
            return
        self.wfile.write(page.data)

    def do_POST(self) -> None:
        self.do_GET()

    def _git(self, path: str, query: str) -> None:
        """``git http-backend``, a CGI program."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        variables = {
            **GIT_ENVIRONMENT,
            "GIT_PROJECT_ROOT": str(self.served.repositories),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type") or "",
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding") or "",
            "GIT_PROTOCOL": self.headers.get("Git-Protocol") or "",
        }
        done = subprocess.run(["git", "http-backend"], input=body, env=variables, capture_output=True, check=False)
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        fields = [line.partition(": ")[::2] for line in head.decode().splitlines()]
        status = next((value for name, value in fields if name == "Status"), "200 OK")
        self.send_response(int(status.split()[0]))
        for name, value in fields:
            if name != "Status":
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


class Repository:
    """A git repository with a work tree, and its bare twin that a :class:`Website` serves.

    :ivar work: its work tree.
    """

    def __init__(self, site: Website, name: str = "repo") -> None:
        self.work = site.repositories / f"{name}.work"
        self._bare = site.repositories / f"{name}.git"
        self.url = f"{site.url}/git/{name}.git"
        subprocess.run(["git", "init", "-q", "-b", "main", str(self.work)], env=GIT_ENVIRONMENT, check=True)
        subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(self._bare)], env=GIT_ENVIRONMENT, check=True)

    def git(self, *words: str) -> str:
        """Run git in the work tree."""
        command = ["git", "-c", "protocol.file.allow=always", *words]
        done = subprocess.run(command, cwd=self.work, env=GIT_ENVIRONMENT, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def commit(self, *tags: str, **files: str) -> str:
        """Write files, commit and publish them; the commit. ``__`` in a name stands for a dot, ``___`` for a slash."""
        for name, content in files.items():
            path = self.work / name.replace("___", "/").replace("__", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", "change")
        for tag in tags:
            self.git("tag", "-a", "-m", "tag", tag)
        self.publish()
        return self.git("rev-parse", "HEAD")

    def publish(self) -> None:
        self.git("push", "-q", "--mirror", str(self._bare))

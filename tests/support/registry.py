"""A real registry (Debian's docker-registry) on the loopback interface."""

from __future__ import annotations

import base64
import json
import os
import re
import ssl
import subprocess
import urllib.parse
import urllib.request
from typing import Any

from support.images import TestImage
from support.processes import Service, accepts, free_port
from support.programs import find


class Registry:
    """One registry with its storage in ``directory``.

    :ivar address: ``127.0.0.1:PORT``, as it stands in a reference.
    :ivar url: the same with its scheme.
    :ivar certificate: path of the PEM certificate that clients must trust, with ``tls``.
    """

    def __init__(
        self,
        directory: str,
        *,
        users: dict[str, str] | None = None,
        tls: bool = False,
        environment: dict[str, str] | None = None,
    ) -> None:
        self.directory = directory
        self.users = users or {}
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.url = f"{'https' if tls else 'http'}://{self.address}"
        self.certificate = f"{directory}/certificate.pem" if tls else None
        self.storage = f"{directory}/storage"
        self._configuration = f"{directory}/config.json"
        self._environment = environment or {}
        os.makedirs(self.storage)
        with open(self._configuration, "w") as file:
            json.dump(self._settings(), file)  # every JSON document is a YAML document
        self._service: Service | None = None

    def _settings(self) -> dict[str, Any]:
        http: dict[str, Any] = {"addr": self.address, "secret": "the same after a restart"}
        if self.certificate:
            _make_certificate(self.certificate, f"{self.directory}/key.pem")
            http["tls"] = {"certificate": self.certificate, "key": f"{self.directory}/key.pem"}
        settings: dict[str, Any] = {
            "version": "0.1",
            "log": {"level": "info", "accesslog": {"disabled": False}},
            "storage": {"filesystem": {"rootdirectory": self.storage}, "delete": {"enabled": True}},
            "http": http,
        }
        if self.users:
            with open(f"{self.directory}/htpasswd", "w") as file:
                for user, password in self.users.items():
                    file.write(_htpasswd_line(user, password))
            settings["auth"] = {"htpasswd": {"realm": "test", "path": f"{self.directory}/htpasswd"}}
        return settings

    def start(self) -> Registry:
        """Start it and wait until it listens; itself."""
        program = find("docker-registry")
        assert program is not None
        # It takes every REGISTRY_... variable for a setting, containers-common's REGISTRY_AUTH_FILE too. Exporters of
        # traces would call out of the machine.
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("REGISTRY_")}
        environment = {**inherited, "OTEL_TRACES_EXPORTER": "none", **self._environment}
        self._service = Service([program, "serve", self._configuration], f"{self.directory}/log", environment)
        self._service.wait_until_ready(lambda: accepts(self.port))
        return self

    def stop(self) -> None:
        """Stop it; what it stores stays. Idempotent."""
        if self._service is not None:
            self._service.stop()
            self._service = None

    def requests(self) -> list[str]:
        """Every request so far, in order, as ``METHOD /path``."""
        with open(f"{self.directory}/log", errors="replace") as log:
            # The access log has the combined format: ... "GET /v2/ HTTP/1.1" 200 ...
            return [line.split('"')[1].rsplit(" ", 1)[0] for line in log if '] "' in line and " HTTP/1." in line]

    def blobs_sent(self, since: int = 0) -> set[str]:
        """Digests of the blobs that were uploaded, from request number ``since`` on."""
        lines = (urllib.parse.unquote(line) for line in self.requests()[since:])
        return {match[1] for line in lines if (match := re.match(r"PUT \S+[?&]digest=([^\s&]+)", line))}

    def blobs_fetched(self, since: int = 0) -> set[str]:
        """Digests of the blobs that were downloaded, from request number ``since`` on."""
        lines = (urllib.parse.unquote(line) for line in self.requests()[since:])
        return {match[1] for line in lines if (match := re.match(r"GET \S+/blobs/(\S+)$", line))}

    def http(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[dict[str, str], bytes]:
        """One request of the test's own, as the first user; headers (names in lower case) and body of the answer."""
        request = urllib.request.Request(urllib.parse.urljoin(self.url, path), data=body, method=method)
        for name, value in (headers or {}).items():
            request.add_header(name, value)
        if self.users:
            user, password = next(iter(self.users.items()))
            request.add_header("Authorization", "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode())
        trust = ssl.create_default_context(cafile=self.certificate) if self.certificate else None
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), *([urllib.request.HTTPSHandler(context=trust)] if trust else [])
        )
        with opener.open(request, timeout=30) as answer:
            return {name.lower(): value for name, value in answer.headers.items()}, answer.read()

    def upload(self, image: TestImage, repository: str, tag: str = "latest") -> str:
        """Store ``image`` by plain requests; its reference."""
        for blob in image.blobs():
            headers, _ = self.http("POST", f"/v2/{repository}/blobs/uploads/", b"")
            place = headers["location"]
            join = "&" if "?" in place else "?"
            query = urllib.parse.urlencode({"digest": blob.digest})
            self.http("PUT", f"{place}{join}{query}", blob.data, {"Content-Type": "application/octet-stream"})
        manifest = {"Content-Type": image.manifest_media_type}
        self.http("PUT", f"/v2/{repository}/manifests/{tag}", image.manifest, manifest)
        return f"{self.address}/{repository}:{tag}"


def _htpasswd_line(user: str, password: str) -> str:
    command = ["htpasswd", "-nbB", "-C", "4", user, password]  # the registry takes bcrypt only
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip() + "\n"


def _make_certificate(certificate: str, key: str) -> None:
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost", "-keyout", key, "-out", certificate]
    subprocess.run(command, check=True, capture_output=True)

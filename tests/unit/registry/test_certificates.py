"""Certificates of clients, and files that should hold some and don't."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from lamina.errors import InvalidArgument
from lamina.reference import parse_tagged
from lamina.registry.certificates import tls_context
from lamina.registry.errors import ConnectionFailed
from lamina.registry.exchange import Exchange
from lamina.registry.http import BrokenExchange, NoConnection
from support.fake_registry import FakeRegistry
from support.images import TestImage


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[str, str]:
    paths = str(tmp_path / "certificate.pem"), str(tmp_path / "key.pem")
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
    ]
    subprocess.run([*command, "-subj", "/CN=x", "-keyout", paths[1], "-out", paths[0]], check=True, capture_output=True)
    return paths


@pytest.fixture
def strict_registry(certificate: tuple[str, str]) -> Iterator[FakeRegistry]:
    """One that wants to see the very certificate that it has itself."""
    with FakeRegistry(certificate=certificate, client_authority=certificate[0]) as registry:
        registry.add(TestImage([]))
        yield registry


@pytest.fixture
def directory(tmp_path: Path, strict_registry: FakeRegistry) -> Path:
    path = tmp_path / "certs.d" / strict_registry.address
    path.mkdir(parents=True)
    return path


def test_a_client_shows_the_certificate_of_its_registry(
    strict_registry: FakeRegistry, directory: Path, certificate: tuple[str, str]
) -> None:
    def ask() -> int:
        context = tls_context(str(directory), "", verify=False)
        with closing(Exchange(context, connect_timeout=5, read_timeout=5)) as exchange:
            answer = exchange.send("GET", f"https://{strict_registry.address}/v2/x/manifests/latest", {}, None)
            answer.close()
            return answer.status

    # A server that closes the connection at once may take its own words back.
    with pytest.raises((NoConnection, BrokenExchange), match=r"remote error: tls: .*certificate|reset|EOF|broken pipe"):
        ask()
    shutil.copy(certificate[0], directory / "client.cert")
    shutil.copy(certificate[1], directory / "client.key")
    assert ask() == 200


@pytest.mark.parametrize(
    ("names", "complaint"),
    [
        (["client.cert"], "missing key client.key for client certificate client.cert"),
        (["client.key"], "missing client certificate client.cert for key client.key"),
        (["ca.crt"], r"CA file .*/ca.crt: no certificate or crl found$"),
        (["client.cert", "client.key"], r"client certificate .*/client.cert: "),
    ],
)
def test_what_is_no_certificate_is_named(
    strict_registry: FakeRegistry, directory: Path, client_with, names: list[str], complaint: str
) -> None:
    for name in names:
        (directory / name).write_text("garbage")
    with pytest.raises(InvalidArgument, match=complaint):
        client_with(certificate_directories=(str(directory.parent),)).manifest(
            parse_tagged(f"{strict_registry.address}/x")
        )


def test_authorities_are_loaded_once_and_not_for_the_loopback(client_with, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[ssl.SSLContext] = []

    def load(context: ssl.SSLContext) -> None:
        loaded.append(context)

    monkeypatch.setattr(ssl.SSLContext, "load_default_certs", load)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *asked: [])
    client = client_with()
    for host, expected in (("127.0.0.1:1", 0), ("a.example", 1), ("b.example", 1)):
        with pytest.raises(ConnectionFailed):
            client.manifest(parse_tagged(f"{host}/x"))
        assert len(loaded) == expected

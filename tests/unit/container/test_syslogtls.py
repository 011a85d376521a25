"""Syslog over TLS, to a listener on this machine's loopback."""

from __future__ import annotations

import re
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from lamina.container import logdrivers, sysloglog
from lamina.container.logdrivers import InvalidLogOption
from lamina.container.record import Container
from lamina.container.sysloglog import Settings
from support import programs


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificates that vouch for themselves: the server's, a client's, and a stranger's, each with its key."""
    programs.need("openssl")
    directory = tmp_path_factory.mktemp("certificates")
    for name in ("server", "client", "stranger"):
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        command += ["-days", "2", "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1"]
        subprocess.run(
            [*command, "-keyout", f"{name}.key", "-out", f"{name}.pem"], cwd=directory, check=True, capture_output=True
        )
    command = ["openssl", "pkcs8", "-topk8", "-in", "client.key", "-passout", "pass:x", "-out", "encrypted.key"]
    subprocess.run(command, cwd=directory, check=True, capture_output=True)
    (directory / "text").write_text("no certificate")
    return directory


class Heard:
    """What a listener was told."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.said = b""


@contextmanager
def listener(files: Path, *, asks: bool = False) -> Iterator[Heard]:
    """One that takes one connection, and asks for the client's certificate or does not."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files / "server.pem", files / "server.key")
    if asks:
        context.load_verify_locations(files / "client.pem")
        context.verify_mode = ssl.CERT_REQUIRED
    server = socket.create_server(("127.0.0.1", 0))
    heard = Heard(f"tcp+tls://127.0.0.1:{server.getsockname()[1]}")

    def serve() -> None:
        with server, suppress(OSError):
            connection = server.accept()[0]
            connection.settimeout(30)
            with connection, context.wrap_socket(connection, server_side=True) as speaking:
                while piece := speaking.recv(9999):
                    heard.said += piece

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield heard
    finally:
        with suppress(OSError), socket.create_connection(server.getsockname()[:2]):
            pass  # if nobody came, it waits no longer
        thread.join(60)


def tell(heard: Heard, **options: object) -> None:
    """Log one line there."""
    given = {name.replace("_", "-"): str(value) for name, value in options.items()}
    writer = sysloglog.Writer(Settings.of({"syslog-address": heard.address, **given}), "t")
    writer.write([b"text\n"], "stdout", 10**18)
    writer.close()


def test_a_line_goes_to_a_server_that_is_trusted(files: Path) -> None:
    with listener(files) as heard:
        tell(heard, syslog_tls_ca_cert=files / "server.pem")
    assert re.fullmatch(rb"<30>\w{3} [ \d]\d [\d:]{8} t\[\d+\]: text\n", heard.said)


@pytest.mark.parametrize("form", ["rfc5424", "rfc5424micro"])
def test_the_newer_formats_are_framed_by_their_length(files: Path, form: str) -> None:
    with listener(files) as heard:
        tell(heard, syslog_tls_ca_cert=files / "server.pem", syslog_format=form)
    length, _, message = heard.said.partition(b" ")
    assert int(length) == len(message)
    assert message.startswith(b"<30>1 ")


@pytest.mark.parametrize("value", ["true", "", "false"])
def test_skip_verify_counts_whatever_its_value_as_in_docker(files: Path, value: str) -> None:
    with listener(files) as heard:
        tell(heard, syslog_tls_skip_verify=value)
    assert heard.said.endswith(b"text\n")


def test_a_server_that_asks_is_shown_a_certificate(files: Path) -> None:
    shown = {"syslog_tls_cert": files / "client.pem", "syslog_tls_key": files / "client.key"}
    with listener(files, asks=True) as heard:
        tell(heard, syslog_tls_ca_cert=files / "server.pem", **shown)
    assert heard.said.endswith(b"text\n")
    with listener(files, asks=True) as heard:
        tell(heard, syslog_tls_ca_cert=files / "server.pem")
    assert heard.said == b""


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "x509: certificate signed by unknown authority"),
        ({"ca-cert": "stranger.pem"}, "x509: certificate signed by unknown authority"),
        (
            {"ca-cert": "nosuch"},
            'could not read CA certificate "HERE/nosuch": open HERE/nosuch: no such file or directory',
        ),
        ({"ca-cert": "text"}, 'failed to append certificates from PEM file: "HERE/text"'),
        (
            {"skip-verify": "1", "cert": "client.pem", "key": "stranger.key"},
            "Could not load X509 key pair: tls: private key does not match public key",
        ),
        (
            {"skip-verify": "1", "cert": "client.pem", "key": "encrypted.key"},
            "Could not load X509 key pair: tls: failed to parse private key",
        ),
        (
            {"skip-verify": "1", "cert": "text", "key": "client.key"},
            "Could not load X509 key pair: tls: failed to find any PEM data in certificate or key input",
        ),
        ({"skip-verify": "1", "cert": "client.pem"}, "Could not load X509 key pair: open : no such file or directory"),
    ],
)
def test_what_is_not_believed_or_can_not_be_used_fails_the_start(
    files: Path, options: dict[str, str], message: str
) -> None:
    given = {
        f"syslog-tls-{name}": value if name == "skip-verify" else str(files / value) for name, value in options.items()
    }
    with listener(files) as heard:
        config = {"syslog-address": heard.address, **given}
        container = Container({"ID": "0" * 64, "Name": "/x"}, {"LogConfig": {"Type": "syslog", "Config": config}})
        logdrivers.check(container.host_config["LogConfig"])
        with pytest.raises(InvalidLogOption) as error:
            logdrivers.check_values(container, "/log")
    expected = message.replace("HERE", str(files))
    assert str(error.value) == f"failed to initialize logging driver: {expected}"
    assert heard.said == b""


def test_a_server_whose_files_have_gone_costs_the_line(files: Path) -> None:
    """A certificate that is removed while a container runs is no reason to end its log."""
    authority = files / "moving.pem"
    authority.write_bytes((files / "server.pem").read_bytes())
    with listener(files) as heard:
        settings = Settings.of({"syslog-address": heard.address, "syslog-tls-ca-cert": str(authority)})
        writer = sysloglog.Writer(settings, "t")
        writer.write([b"one\n"], "stdout", 1)
        authority.unlink()
        writer.close()  # what is written next finds the connection closed, and connects again
        writer.write([b"two\n"], "stdout", 1)
    assert heard.said.endswith(b"one\n")

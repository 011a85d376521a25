"""Private keys for an agent: what can be given to it, and what is said of what can't."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from lamina.builder.keyfile import BadKey, parse

pytestmark = pytest.mark.needs("ssh-keygen")


def _key(directory: Path, *options: str, passphrase: str = "") -> bytes:
    path = directory / "key"
    subprocess.run(["ssh-keygen", "-q", "-N", passphrase, "-f", path, *options], check=True)
    return path.read_bytes()


_FORMATS = [("-t", "ed25519"), ("-t", "ecdsa", "-m", "PEM"), ("-t", "ecdsa", "-m", "PKCS8")]


@pytest.mark.parametrize("options", _FORMATS, ids=["OpenSSH", "PEM", "PKCS8"])
def test_a_key_is_taken_in_every_format(tmp_path: Path, options: tuple[str, ...]) -> None:
    content = _key(tmp_path, *options)
    assert parse("key", content).content == content


@pytest.mark.parametrize("options", _FORMATS, ids=["OpenSSH", "PEM", "PKCS8"])
def test_a_key_with_a_passphrase_is_refused_and_an_agent_advised(tmp_path: Path, options: tuple[str, ...]) -> None:
    content = _key(tmp_path, *options, passphrase="secret")
    with pytest.raises(BadKey, match=r"failed to parse a/key: ssh: .* passphrase protected: .*ssh-add"):
        parse("a/key", content)


@pytest.mark.parametrize("content", [b"", b"ssh-ed25519 AAAA me", b"-----BEGIN CERTIFICATE-----\nx\n", b"\0" * 100])
def test_what_is_no_private_key_is_refused(content: bytes) -> None:
    with pytest.raises(BadKey, match="ssh: no key found"):
        parse("key", content)

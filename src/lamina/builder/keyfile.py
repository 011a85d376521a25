"""Files with private SSH keys, as ``--ssh`` takes them: read early, so that what can't work is said before a build."""

from __future__ import annotations

import binascii

from lamina.errors import InvalidArgument
from lamina.typing import NamedTuple

#: Bytes; BuildKit's.
LIMIT = 100 << 10
_BEGIN = b"-----BEGIN "
#: OpenSSH's own format (PROTOCOL.key): a magic word, then the name of the cipher, its length in front.
_OPENSSH, _MAGIC, _PLAIN = b"OPENSSH PRIVATE KEY", b"openssh-key-v1\0", b"\0\0\0\x04none"


class BadKey(InvalidArgument):
    """A file that an agent can't be given. The message begins as BuildKit's."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"failed to parse {path}: {reason}")


class KeyFile(NamedTuple):
    """A private key.

    :ivar path: for messages.
    :ivar content: PEM, not encrypted.
    """

    path: str
    content: bytes


def parse(path: str, content: bytes) -> KeyFile:
    """The key in a file. Raises :class:`BadKey`."""
    start = content.find(_BEGIN)
    head, _, body = content[max(start, 0) :].partition(b"\n")
    if start < 0 or b"PRIVATE KEY" not in head:
        raise BadKey(path, "ssh: no key found")
    if _is_encrypted(head, body):
        hint = "add it to an agent with ssh-add, and give the agent's socket to --ssh"
        raise BadKey(path, f"ssh: this private key is passphrase protected: {hint}")
    return KeyFile(path, content)


def _is_encrypted(head: bytes, body: bytes) -> bool:
    if _OPENSSH not in head:
        return b"ENCRYPTED" in head or body.startswith(b"Proc-Type: 4,ENCRYPTED")
    try:
        data = binascii.a2b_base64(body.partition(b"-----END")[0])
    except binascii.Error:
        return False  # whoever loads it says what is wrong
    return data.startswith(_MAGIC) and not data.startswith(_MAGIC + _PLAIN)

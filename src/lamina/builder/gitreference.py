"""What names a git repository: ``https://host/repo.git#ref:directory`` and its other forms.

Rules: Docker's reference of ``ADD`` and of git build contexts. Everything in here ends up on a command line of ``git``,
so what git could take for an option or a pattern is refused (CVE-2019-13139).
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from lamina.errors import InvalidArgument
from lamina.typing import NamedTuple

#: ``user@host:path``, as ssh's copy program has it.
_SHELL_STYLE = re.compile(r"[A-Za-z0-9_-]+@([A-Za-z0-9._-]+):(.+)", re.DOTALL)
_SCHEMES = ("git", "ssh")
_WEB_SCHEMES = ("http", "https")
_GITHUB = "github.com/"
#: What no reference's name may hold (``git check-ref-format``), and control characters.
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|\.lock(?:/|$)")
_COMMIT = re.compile(r"(?:[0-9a-f]{40}|[0-9a-f]{64})\Z")


class BadGitReference(InvalidArgument):
    """It names a repository in a way that is refused."""


class GitReference(NamedTuple):
    """One tree of one repository.

    :ivar remote: what git connects to.
    :ivar ref: branch, tag, commit or full name of a reference; ``""`` for the remote's own choice.
    :ivar directory: the part of the tree that is meant; ``""`` for all of it.
    """

    remote: str
    ref: str = ""
    directory: str = ""

    @property
    def is_commit(self) -> bool:
        """Whether ``ref`` can't come to mean something else."""
        return _COMMIT.match(self.ref) is not None


def parse(text: str, *, context: bool = False) -> GitReference | None:
    """``None`` for what names no repository: a URL of a file, a path.

    :param context: as the argument of ``build``, where ``github.com/name/repo`` is one, too.
    :raises BadGitReference: it does, but is malformed or hostile.
    """
    remote, _, fragment = text.partition("#")
    if context and remote.startswith(_GITHUB):
        remote = f"https://{remote}"
    elif not _names_repository(remote):
        return None
    ref, _, directory = fragment.partition(":")
    if ref.startswith("-") or _FORBIDDEN.search(ref):
        raise BadGitReference(f"invalid refspec: {ref}")
    if "\0" in directory or ".." in directory.split("/"):
        raise BadGitReference(f"invalid directory in git reference: {directory!r}")
    _check_remote(remote)
    return GitReference(remote, ref, directory.strip("/"))


def _names_repository(remote: str) -> bool:
    if _SHELL_STYLE.fullmatch(remote) and "://" not in remote:
        return True
    try:
        parts = urlsplit(remote)
    except ValueError:
        return False
    return parts.scheme in _SCHEMES or (parts.scheme in _WEB_SCHEMES and parts.path.endswith(".git"))


def _check_remote(remote: str) -> None:
    """Refuse hosts and paths that git or ssh would take for an option."""
    match = _SHELL_STYLE.fullmatch(remote) if "://" not in remote else None
    if match is not None:
        host, path = match.groups()
    else:
        try:
            parts = urlsplit(remote)
            host, path = parts.hostname or "", parts.path
            _ = parts.port
        except ValueError as error:
            raise BadGitReference(f"invalid git repository {remote!r}: {error}") from error
    if not host or host.startswith("-") or path.startswith("-") or any(ord(char) < 33 for char in remote):
        raise BadGitReference(f"invalid git repository {remote!r}")

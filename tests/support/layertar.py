"""Layer tars made in memory, unpacking them, and what a directory looks like afterwards."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

from lamina.graphdriver.contract import DiffForm
from lamina.layer.contract import UnpackResult
from lamina.layer.unpack import UnpackTarget, unpack_here
from lamina.tarball import header as tar
from lamina.tarball import tarsplit
from lamina.tarball.header import Header
from lamina.tarball.reader import TarReader
from lamina.tarball.writer import archive

Entry = tuple[Header, list[bytes]]

#: A fixed time, 2021-01-01.
THEN = 1_609_459_200 * 10**9


def file(name: bytes, content: bytes = b"", **fields: Any) -> Entry:
    return Header(name, size=len(content), **{"mode": 0o644, "mtime": THEN, **fields}), [content]


def directory(name: bytes, **fields: Any) -> Entry:
    return Header(name.rstrip(b"/") + b"/", tar.DIRECTORY, **{"mode": 0o755, "mtime": THEN, **fields}), []


def symlink(name: bytes, target: bytes, **fields: Any) -> Entry:
    return Header(name, tar.SYMLINK, linkname=target, **{"mode": 0o777, "mtime": THEN, **fields}), []


def hard_link(name: bytes, target: bytes, **fields: Any) -> Entry:
    return Header(name, tar.HARD_LINK, linkname=target, **{"mode": 0o644, "mtime": THEN, **fields}), []


def device(name: bytes, major: int, minor: int, kind: bytes = tar.CHARACTER, **fields: Any) -> Entry:
    return Header(name, kind, major=major, minor=minor, **{"mode": 0o600, "mtime": THEN, **fields}), []


def layer(*entries: Entry) -> bytes:
    return b"".join(archive(entries))


def unpack(data: bytes, target: Path, form: DiffForm = DiffForm.OVERLAY) -> UnpackResult:
    """Unpack into ``target``; its tar-split goes beside it."""
    target.mkdir(exist_ok=True)
    return unpack_here([data], UnpackTarget(str(target), form, f"{target}.tar-split"))


def reassemble(target: Path) -> bytes:
    """The tar again, from the tar-split and the directory."""

    def open_file(name: bytes) -> int:
        return os.open(os.path.join(os.fsencode(target), name.lstrip(b"/")), os.O_RDONLY | os.O_NOFOLLOW)

    return b"".join(tarsplit.assemble(f"{target}.tar-split", open_file))


def read(data: bytes, chunk: int = 1 << 20) -> list[tuple[Header, bytes]]:
    """Headers and contents as our reader sees them."""
    reader = TarReader(data[start : start + chunk] for start in range(0, len(data), chunk))
    return [(header, b"".join(reader.content())) for header in reader]


def look(root: Path, *, times: bool = True) -> dict[str, tuple[Any, ...]]:
    """Everything below ``root`` by path: mode, owner, what it holds or means, seconds, extended attributes."""
    seen: dict[str, tuple[Any, ...]] = {}
    inodes: dict[int, str] = {}
    for folder, directories, files in os.walk(root):
        for name in sorted(directories + files):
            path = os.path.join(folder, name)
            status = os.lstat(path)
            content: Any = None
            if stat.S_ISLNK(status.st_mode):
                content = os.readlink(path)
            elif stat.S_ISREG(status.st_mode):
                content = Path(path).read_bytes()
                if status.st_nlink > 1:
                    content = (content, inodes.setdefault(status.st_ino, os.path.relpath(path, root)))
            elif stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode):
                content = status.st_rdev
            attributes = {name: os.getxattr(path, name, follow_symlinks=False) for name in _xattr_names(path)}
            seen[os.path.relpath(path, root)] = (
                oct(status.st_mode),
                status.st_uid,
                status.st_gid,
                content,
                status.st_mtime_ns // 10**9 if times else None,
                attributes,
            )
    return seen


def _xattr_names(path: str) -> list[str]:
    return sorted(os.listxattr(path, follow_symlinks=False))

"""Files of a layer's directory as entries of its tar, as Docker writes them: whole seconds, no owner names.

Two runs over the same files give the same bytes: nothing that is not in the files goes in, no inode, no access time.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator

from lamina.errors import Unsupported
from lamina.layer.tree import Node, xattrs
from lamina.owners import SAME, Owners
from lamina.tarball import header as tar
from lamina.tarball import ownership
from lamina.tarball.header import Header
from lamina.tarball.writer import END, encode, padding
from lamina.unionfs import whiteout

#: Not blocking, for a fifo that took the file's place meanwhile.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

_SECOND = 1_000_000_000
_PIECE = 1 << 20

#: Attributes that belong to the host a file lies on, not to the file.
_HOST_XATTRS = (b"security.selinux", b"security.ima", b"security.evm", b"security.apparmor")

#: overlayfs attributes that make a file's content or name depend on another layer's.
_DEPENDENT = tuple(prefix + word for prefix in whiteout.OVERLAY_XATTRS for word in (b"redirect", b"metacopy"))

_KINDS = {
    stat.S_IFREG: tar.REGULAR,
    stat.S_IFDIR: tar.DIRECTORY,
    stat.S_IFLNK: tar.SYMLINK,
    stat.S_IFCHR: tar.CHARACTER,
    stat.S_IFBLK: tar.BLOCK_DEVICE,
    stat.S_IFIFO: tar.FIFO,
}


def reserved(name: bytes) -> Unsupported:
    """The error for a file that a layer's tar can't hold."""
    return Unsupported(f"{os.fsdecode(name)!r}: a layer can't hold a file whose name begins with '.wh.'")


class Packer:
    """Turns nodes into the bytes of one archive. Hard links among them stay links.

    :param owners: who has them in the archive for those who have them here.
    """

    def __init__(self, owners: Owners = SAME) -> None:
        self._owners = owners
        self._first: dict[tuple[int, int], bytes] = {}

    def pack(self, node: Node, *, opaque: bool = False) -> Iterator[bytes]:
        """A file with its content, and the opaque mark of an opaque directory. Nothing for a socket.

        :param opaque: that a directory is, if its attributes don't say.

        Raises ``Unsupported`` for what a layer can't express.
        """
        for header in self.headers(node, opaque=opaque):
            content = self.content(node, header)
            if content is None:
                return
            yield encode(header)
            yield from content
            if header.size:
                yield padding(header.size)

    def headers(self, node: Node, *, opaque: bool = False) -> Iterator[Header]:
        """The headers of :meth:`pack`; that with a size is followed by :meth:`content`."""
        kind = _KINDS.get(stat.S_IFMT(node.status.st_mode))
        if kind is None:
            return
        if node.name.startswith(whiteout.PREFIX):
            raise reserved(node.path)
        if kind != tar.DIRECTORY and node.status.st_nlink > 1:
            inode = node.status.st_dev, node.status.st_ino
            first = self._first.setdefault(inode, node.path)
            if first != node.path:
                kind, target = tar.HARD_LINK, first
        attributes = xattrs(node)
        if kind == tar.SYMLINK:
            target = os.readlink(node.name, dir_fd=node.directory)
        elif kind != tar.HARD_LINK:
            target = b""
        header = self._header(node, kind, target, attributes)
        yield header
        marks = (attributes.get(whiteout.OPAQUE_XATTR), attributes.get(whiteout.USER_OPAQUE_XATTR))
        if kind == tar.DIRECTORY and (opaque or b"y" in marks):
            yield Header(header.name + whiteout.OPAQUE, mode=header.mode & 0o777, uid=header.uid, gid=header.gid)

    def content(self, node: Node, header: Header) -> Iterable[bytes] | None:
        """What follows a header: as many bytes as it says, even when the file changes meanwhile.

        ``None`` when the file has vanished. Go through it all, or the file stays open.
        """
        if not header.size:
            return ()
        try:
            return _pieces(os.open(node.name, _READ, dir_fd=node.directory), header.size)
        except FileNotFoundError:
            return None

    def whiteout(self, path: bytes) -> Iterator[bytes]:
        """The mark that ``path`` is deleted."""
        yield encode(self.mark(path))

    def mark(self, path: bytes) -> Header:
        """The header of :meth:`whiteout`."""
        directory, slash, name = path.rpartition(b"/")
        return Header(directory + slash + whiteout.PREFIX + name, mode=0o600)

    def end(self) -> Iterator[bytes]:
        yield END

    def _header(self, node: Node, kind: bytes, target: bytes, attributes: dict[bytes, bytes]) -> Header:
        status = node.status
        kept: dict[bytes, bytes] = {}
        for name, value in attributes.items():
            if name in _DEPENDENT:
                raise Unsupported(
                    f"{os.fsdecode(node.path)!r}: overlayfs's {os.fsdecode(name)} has no place in a layer"
                )
            if not whiteout.is_overlay_xattr(name) and name not in _HOST_XATTRS:
                kept[name] = value
        device = kind in (tar.CHARACTER, tar.BLOCK_DEVICE)
        header = Header(
            name=node.path + b"/" if kind == tar.DIRECTORY else node.path,
            kind=kind,
            size=status.st_size if kind == tar.REGULAR else 0,
            mode=stat.S_IMODE(status.st_mode),
            uid=status.st_uid,
            gid=status.st_gid,
            mtime=status.st_mtime_ns // _SECOND * _SECOND,
            linkname=target,
            major=os.major(status.st_rdev) if device else 0,
            minor=os.minor(status.st_rdev) if device else 0,
            xattrs=kept or None,
        )
        return ownership.inside(header, self._owners) if self._owners.are_mapped else header


def _pieces(descriptor: int, left: int) -> Iterator[bytes]:
    """``left`` bytes of a file, which is closed then; zeros for what it lacks."""
    try:
        while left:
            data = os.read(descriptor, min(left, _PIECE)) or bytes(min(left, _PIECE))
            left -= len(data)
            yield data
    finally:
        os.close(descriptor)

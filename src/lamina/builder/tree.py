"""Where ``COPY`` and ``ADD`` take files from: a directory that somebody else filled, looked at without leaving it.

Links are resolved by the kernel with the directory as root. What ``.dockerignore`` excludes does not exist. Digests are
those of Docker's classic builder (tarsum version 1: all metadata but times, and the content), because they stand in
the history; they are the cache's too.
"""

from __future__ import annotations

import errno
import grp
import hashlib
import os
import pwd
import stat
from _thread import get_ident
from collections.abc import Callable, Iterator

from lamina.builder.sums import FileSums
from lamina.contextlib import suppress
from lamina.errors import InvalidArgument, NotFound
from lamina.functools import cache
from lamina.linux import openat2
from lamina.oci import pattern as patterns
from lamina.owners import SAME, Owners
from lamina.typing import NamedTuple, Protocol

_OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_CAPABILITY = "security.capability"
#: Type bits that Docker puts into a header's mode.
_TYPE_BITS = {
    stat.S_IFREG: 0o100000,
    stat.S_IFDIR: 0o040000,
    stat.S_IFLNK: 0o120000,
    stat.S_IFCHR: 0o020000,
    stat.S_IFBLK: 0o060000,
    stat.S_IFIFO: 0o010000,
    stat.S_IFSOCK: 0o140000,
}
_TYPE_FLAGS = {
    stat.S_IFREG: "0",
    stat.S_IFDIR: "5",
    stat.S_IFLNK: "2",
    stat.S_IFCHR: "3",
    stat.S_IFBLK: "4",
    stat.S_IFIFO: "6",
}
_PIECE = 1 << 20
_ELSEWHERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EXDEV)


#: Says of a path whether it is left out.
Excludes = Callable[[str], bool]


class NoSuchSource(NotFound):
    """Nothing in the source has that path, or ``.dockerignore`` hides it."""


class Matcher(Protocol):
    """What ``.dockerignore`` says."""

    def matches(self, path: str) -> bool:
        """Whether the path is excluded, by itself or by a directory above it."""

    def may_skip(self, directory: str) -> bool:
        """Whether nothing below an excluded directory is excepted."""

    def is_entered(self, directory: str) -> bool:
        """Whether Docker's classic client looks into an excluded directory."""


class Found(NamedTuple):
    """One file or directory to copy.

    :ivar asked: the path as asked for, relative to the tree; its last component names the copy.
    :ivar path: where it is, all links resolved; ``""`` is the tree itself.
    :ivar digest: ``file:...`` or ``dir:...``.
    """

    asked: str
    path: str
    status: os.stat_result
    digest: str

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.status.st_mode)


class Tree:
    """One source of files.

    :param root: host path.
    :param owned: whether files keep their owner; a build context's belong to root.
    :param shown: what messages call it.
    :param owners: who owns its files here for those who own them in images.
    """

    def __init__(
        self,
        root: str,
        *,
        owned: bool,
        sums: FileSums | None = None,
        ignored: Matcher | None = None,
        shown: str = "",
        owners: Owners = SAME,
    ) -> None:
        self.path = os.path.realpath(root)
        self.root = os.open(self.path, _OPEN_DIRECTORY)
        self.owned = owned
        self.owners = owners
        self.shown = shown
        self._sums = sums or FileSums.forgetful()
        self._ignored = ignored
        self._links: dict[int, list[str]] = {}

    def close(self) -> None:
        os.close(self.root)

    @property
    def links(self) -> list[str]:
        """Links that this thread looked at, with their texts: the digests hold what they lead to, and not how."""
        return self._links.setdefault(get_ident(), [])

    # Looking

    def find(self, pattern: str, excludes: Excludes | None = None) -> list[Found]:
        """What a source argument means: one path, or all that a pattern matches.

        :param excludes: says of paths, relative to each directory that is found, whether they don't count.
        :raises NoSuchSource: nothing.
        """
        path = clean(pattern)
        if has_wildcards(path):
            return [self._found(match, excludes) for match in self._matching(path)]
        return [self._found(path, excludes)]

    def at(self, path: str, excludes: Excludes | None = None) -> Found:
        """What is at a path, wildcards being characters like any other. Raises :class:`NoSuchSource`."""
        return self._found(clean(path), excludes)

    def excludes(self, path: str) -> bool:
        return bool(path) and self._ignored is not None and self._ignored.matches(path)

    def skips(self, directory: str) -> bool:
        """Whether nothing in a directory that is excluded itself can be wanted."""
        return self._ignored is None or self._ignored.may_skip(directory)

    def is_bare(self, directory: str) -> bool:
        """Whether a directory comes without its mode and times, for what is excepted in it.

        Docker's classic client looks into it and does not send it; where that does not look, BuildKit sends it.
        """
        ignored = self._ignored
        return bool(directory) and ignored is not None and ignored.matches(directory) and ignored.is_entered(directory)

    def _hides(self, path: str, status: os.stat_result) -> bool:
        """Whether it is excluded. A directory is not when something below it is excepted: it comes with that."""
        if not self.excludes(path):
            return False
        return not stat.S_ISDIR(status.st_mode) or self.skips(path) or next(self.walk(path), None) is None

    def resolve(self, path: str) -> tuple[str, int]:
        """The path that ``path`` leads to when every link is followed inside the tree, and its ``O_PATH`` descriptor.

        :raises NoSuchSource: there is none, or it is hidden.
        """
        try:
            descriptor = openat2.resolve_in_root(self.root, path or ".")
        except OSError as error:
            if error.errno in _ELSEWHERE:
                raise NoSuchSource(self._missing(path)) from None
            raise
        real = os.readlink(openat2.descriptor_path(descriptor))
        inside = os.path.relpath(real, self.path) if real != self.path else ""
        if inside.startswith("..") or self._hides(inside, os.fstat(descriptor)):
            os.close(descriptor)
            raise NoSuchSource(self._missing(path))
        return inside, descriptor

    def _missing(self, path: str) -> str:
        where = f"file not found in {self.shown or 'build context or excluded by .dockerignore'}"
        return f"{where}: stat {path}: file does not exist"

    def _found(self, asked: str, excludes: Excludes | None = None) -> Found:
        path, descriptor = self.resolve(asked)
        try:
            status = os.fstat(descriptor)
            if stat.S_ISDIR(status.st_mode):
                return Found(asked, path, status, self._directory_digest(path, excludes))
            digest = self._sum(path, status, openat2.descriptor_path(descriptor))
            return Found(asked, path, status, f"file:{digest}")
        finally:
            os.close(descriptor)

    def _matching(self, pattern: str) -> Iterator[str]:
        """Paths that match, in the order of a walk over the tree."""
        depth = pattern.count("/")
        compiled = [patterns.compiled("/".join(pattern.split("/")[: level + 1])) for level in range(depth + 1)]

        def below(directory: str, level: int) -> Iterator[str]:
            for name, status in self._listed(directory):
                path = f"{directory}/{name}" if directory else name
                if not compiled[level].match(path):
                    continue
                if level == depth:
                    if not self._hides(path, status):
                        yield path
                elif stat.S_ISDIR(status.st_mode):
                    yield from below(path, level + 1)

        yield from below("", 0)

    def _listed(self, directory: str) -> list[tuple[str, os.stat_result]]:
        """Names in a directory, sorted as bytes, with their status."""
        descriptor = openat2.open_beneath(self.root, directory or ".", os.O_RDONLY | os.O_DIRECTORY)
        try:
            return status_of_names(descriptor)
        finally:
            os.close(descriptor)

    def walk(self, path: str) -> Iterator[tuple[str, os.stat_result]]:
        """Everything below a directory, itself first, that is not excluded."""
        stack = [iter(self._listed(path))]
        prefixes = [f"{path}/" if path else ""]
        ignored = self._ignored
        while stack:
            entry = next(stack[-1], None)
            if entry is None:
                stack.pop()
                prefixes.pop()
                continue
            name, status = entry
            inner = prefixes[-1] + name
            hidden = ignored is not None and ignored.matches(inner)
            if not hidden:
                yield inner, status
            if stat.S_ISDIR(status.st_mode) and not (hidden and self.skips(inner)):
                stack.append(iter(self._listed(inner)))
                prefixes.append(inner + "/")

    # Digests

    def _directory_digest(self, path: str, excludes: Excludes | None) -> str:
        start = len(path) + 1 if path else 0
        sums: list[str] = []
        implied = {"", path}
        for inner, status in self.walk(path):
            if excludes is None or not excludes(inner[start:]):
                sums.append(self._sum(inner, status))
                if self._ignored is not None:
                    sums += self._implied(inner, implied)
        if path:
            sums.append(self._directory_sum(path))
        sums.sort()
        return "dir:" + hashlib.sha256(",".join(sums).encode("utf-8", "surrogateescape")).hexdigest()

    def _implied(self, path: str, known: set[str]) -> Iterator[str]:
        """Excluded directories above a path up to one in ``known``, which grows.

        They come with what is excepted below them.
        """
        while (path := path.rpartition("/")[0]) not in known:
            known.add(path)
            if self.excludes(path):
                yield self._directory_sum(path)

    def _directory_sum(self, path: str) -> str:
        """Digest of one directory's metadata; its path where it comes without."""
        if self.is_bare(path):
            return path
        return self._sum(path, os.stat(path, dir_fd=self.root, follow_symlinks=False))

    def _sum(self, path: str, status: os.stat_result, opened: str = "") -> str:
        """Digest of one entry; of a link, of what it leads to, and its own path when that is nowhere."""
        if stat.S_ISLNK(status.st_mode):
            return self._link_sum(path)
        if not stat.S_ISREG(status.st_mode):
            return self._header(path, status).hexdigest()
        known = self._sums.get(path, status)
        if known is None:
            known = self._content_sum(path, status, opened)
            self._sums.put(path, status, known)
        return known

    def _link_sum(self, path: str) -> str:
        self.links.append(f"{path}\0{os.readlink(path, dir_fd=self.root)}")
        try:
            inside, descriptor = self.resolve(path)
        except NoSuchSource:
            return path
        try:
            status = os.fstat(descriptor)
        finally:
            os.close(descriptor)
        return self._sum(inside, status) if inside else path

    def _content_sum(self, path: str, status: os.stat_result, opened: str) -> str:
        if opened:
            descriptor = os.open(opened, os.O_RDONLY | os.O_CLOEXEC)
        else:
            descriptor = openat2.open_beneath(self.root, path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            digest = self._header(path, status, descriptor)
            while data := os.read(descriptor, _PIECE):
                digest.update(data)
        finally:
            os.close(descriptor)
        return digest.hexdigest()

    def _header(self, path: str, status: os.stat_result, descriptor: int = -1) -> hashlib._Hash:
        kind = stat.S_IFMT(status.st_mode)
        directory = kind == stat.S_IFDIR
        uid, gid = self.owners.inside(status.st_uid, status.st_gid)
        device = status.st_rdev if kind in (stat.S_IFCHR, stat.S_IFBLK) else 0
        fields = (
            ("name", path + "/" if directory else path),
            ("mode", str(stat.S_IMODE(status.st_mode) | _TYPE_BITS[kind])),
            ("uid", str(uid if self.owned else 0)),
            ("gid", str(gid if self.owned else 0)),
            ("size", str(status.st_size if kind == stat.S_IFREG else 0)),
            ("typeflag", _TYPE_FLAGS.get(kind, "0")),
            ("linkname", ""),
            ("uname", _user_name(uid) if self.owned else ""),
            ("gname", _group_name(gid) if self.owned else ""),
            ("devmajor", str(os.major(device))),
            ("devminor", str(os.minor(device))),
        )
        digest = hashlib.sha256("".join(name + value for name, value in fields).encode("utf-8", "surrogateescape"))
        if descriptor >= 0:
            with suppress(OSError):
                digest.update(_CAPABILITY.encode() + os.getxattr(descriptor, _CAPABILITY))
        return digest


@cache
def _user_name(uid: int) -> str:
    """The host's name for a user, which Docker's digest of an image's files holds; a client's archive has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return ""


@cache
def _group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return ""


def has_wildcards(path: str) -> bool:
    """Whether an unquoted ``*``, ``?`` or ``[`` is in it."""
    position = 0
    while position < len(path):
        if path[position] == "\\":
            position += 1
        elif path[position] in "*?[":
            return True
        position += 1
    return False


def clean(path: str) -> str:
    """A source argument relative to the tree, without ``.`` and doubled slashes; ``..`` can't climb out."""
    if "\0" in path:
        raise InvalidArgument("a path can't hold a NUL byte")
    cleaned = os.path.normpath("/" + path.lstrip("/"))
    return cleaned.lstrip("/")


def status_of_names(descriptor: int) -> list[tuple[str, os.stat_result]]:
    """Names in an open directory with their status, in byte order; what vanishes meanwhile is left out."""
    found = []
    with os.scandir(descriptor) as entries:
        for entry in entries:
            try:
                found.append((entry.name, entry.stat(follow_symlinks=False)))
            except FileNotFoundError:
                continue
    found.sort(key=lambda item: os.fsencode(item[0]))
    return found

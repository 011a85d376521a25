"""Extracting a layer's tar into a directory that is nobody else's yet.

Semantics are those of Docker's ``pkg/archive`` where it has any that can be relied on: a later entry replaces an
earlier one unless both are directories, missing parents are created, hard links and links in parent directories
resolve with the layer as root, times of directories are set last, an unsupported extended attribute is no error. A
whiteout hides what *lower* layers have, in either order with an entry of the same name (image-spec, ``layer.md``).

Every system call takes a descriptor of a directory that the kernel found inside the layer, and a single name in it;
files are only ever created, never opened. So nothing outside can be touched, whatever the names and links are.
"""

from __future__ import annotations

import errno
import os
import stat

from lamina.graphdriver.contract import DiffForm
from lamina.layer.attributes import check_owner, set_xattrs, write_content
from lamina.layer.entry import DuplicatePath, InvalidEntry, clean, from_os_error, is_ignored_directory
from lamina.layer.place import Place, remove
from lamina.layer.times import DirectoryTimes, file_times
from lamina.linux import userns
from lamina.owners import SAME, Owners, UnmappedOwner
from lamina.tarball import header as tar
from lamina.tarball import ownership
from lamina.tarball.header import Header
from lamina.tarball.reader import TarReader
from lamina.unionfs import whiteout

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

#: What mends that an owner is nobody here.
_MORE_IDS = "the user needs more ids: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER"

_REGULAR = frozenset((tar.REGULAR, tar.CONTIGUOUS))
_PERMISSIONS = 0o777
_ALL_MODES = 0o7777

_DEVICE_TYPE = {tar.CHARACTER: stat.S_IFCHR, tar.BLOCK_DEVICE: stat.S_IFBLK, tar.FIFO: stat.S_IFIFO}


class Applier:
    """Extracts one layer. The calling thread's umask must be 0 (see :mod:`lamina.layer.pipeline`).

    :param root: descriptor of the layer's directory; the caller closes it.
    :param form: whether deletions become overlayfs's or AUFS's marks, or happen.
    :param owners: who gets files here for those who have them in the archive.
    """

    def __init__(self, root: int, form: DiffForm, owners: Owners = SAME) -> None:
        self._root = root
        self._layered = form is not DiffForm.SNAPSHOT
        self._aufs = form is DiffForm.AUFS
        #: AUFS form: names that this layer hid so far.
        self._hidden: set[bytes] = set()
        self._owners = owners
        self._place = Place(root, self._imply, owners.root if owners.are_mapped else None)
        self._user, self._group = os.geteuid(), os.getegid()
        self._privileged = self._user == 0
        self._initial = userns.is_initial()
        self._opaque = whiteout.OPAQUE_XATTR if self._initial else whiteout.USER_OPAQUE_XATTR
        self._times = DirectoryTimes()
        #: Bytes as Docker counts them: of what is on disk when the layer has a directory of its own, else of what the
        #: tar says.
        self.size = 0
        self._directory = b""
        self._raw_directory: bytes | None = None
        self._parent = -1
        self._parent_setgid = False
        self._ignored = False
        #: Directories that were created because an entry needed them; the archive may still bring them.
        self._implied: set[bytes] = set()
        #: SNAPSHOT form: what this layer brought, to tell it from what was there; and directories it went into.
        self._own: set[bytes] = set()
        self._entered: set[bytes] = set()
        self._reader: TarReader

    def apply(self, reader: TarReader) -> None:
        """Extract everything.

        Raises :class:`InvalidEntry` and what the reader raises, ``NoSpace``, ``Unsupported``, ``SystemFailure``. What
        was extracted so far stays.
        """
        self._reader = reader
        name = b""
        header: Header | None = None
        try:
            while (header := reader.next()) is not None:
                name = header.name
                if self._owners.are_mapped:
                    header = self._on_host(header)
                if header.kind in _REGULAR:
                    self._regular(header)
                elif header.kind != tar.PAX_GLOBAL:
                    self._other(header)
            name = b"."
            self._set_directory_times()
        except OSError as error:
            if error.errno == errno.EINVAL and not self._initial and header is not None:
                owner = f"owner {header.uid}:{header.gid} has no id in this user namespace"
                raise InvalidEntry(name, f"{owner}: {_MORE_IDS}") from error
            raise from_os_error(name, error) from error
        finally:
            self._leave()

    def _on_host(self, header: Header) -> Header:
        try:
            return ownership.on_host(header, self._owners)
        except UnmappedOwner as error:
            raise InvalidEntry(header.name, str(error)) from error

    # Where

    def _enter(self, name: bytes) -> bytes:
        """Make the directory of the entry ``name`` current; the last component, ``b""`` for the root itself."""
        directory, slash, base = name.rpartition(b"/")
        if slash and not base:
            directory, _, base = name.rstrip(b"/").rpartition(b"/")
        if base in (b"", b".", b".."):
            directory, _, base = clean(name, name).rpartition(b"/")
        if directory != self._raw_directory:
            path = clean(directory, name)
            self._ignored = is_ignored_directory(path, name)
            if not self._ignored:
                self._parent, self._parent_setgid = self._place.directory(path)
            self._directory = path
            self._raw_directory = directory
            if not self._layered:
                while path and path not in self._entered:
                    self._entered.add(path)
                    path = path.rpartition(b"/")[0]
        return base

    def _leave(self) -> None:
        """Forget every open directory: one was removed or replaced."""
        self._raw_directory = None
        self._parent = -1
        self._place.forget()

    def _return(self) -> None:
        """Open the current directory again after :meth:`_leave`."""
        self._place.forget()
        self._parent, self._parent_setgid = self._place.directory(self._directory)

    def _path(self, base: bytes) -> bytes:
        return self._directory + b"/" + base if self._directory else base

    def _imply(self, path: bytes) -> None:
        self._implied.add(path)

    # What

    def _regular(self, header: Header) -> None:
        base = self._enter(header.name)
        if base.startswith(whiteout.PREFIX) or self._ignored:
            self._mark(header, base)
            return
        if not base:
            raise InvalidEntry(header.name, "the layer's root can't be a file")
        if self._hidden:
            self._show(header, base)
        mode = header.mode
        try:
            file = os.open(base, _CREATE, mode & _PERMISSIONS, dir_fd=self._parent)
        except FileExistsError:
            self._replace(header, base)
            file = os.open(base, _CREATE, mode & _PERMISSIONS, dir_fd=self._parent)
        try:
            write_content(file, header, self._reader)
            if self._must_own(header):
                os.chown(file, header.uid, header.gid)
            if header.xattrs:
                set_xattrs(file, header, self._privileged)
            if mode & 0o7000:
                os.chmod(file, mode & _ALL_MODES)
            os.utime(file, ns=file_times(header))
        finally:
            os.close(file)
        self.size += header.size
        if not self._layered:
            self._own.add(self._path(base))

    def _other(self, header: Header) -> None:
        base = self._enter(header.name)
        if base.startswith(whiteout.PREFIX) or self._ignored:
            self._mark(header, base)
            return
        if not base:
            if header.kind != tar.DIRECTORY:
                raise InvalidEntry(header.name, "the layer's root can't be anything but a directory")
            return
        make = _MAKERS.get(header.kind)
        if make is None:
            raise InvalidEntry(header.name, f"unhandled tar header type {header.kind[0]}")
        if self._hidden:
            self._show(header, base)
        make(self, header, base)
        if not self._layered:
            self._own.add(self._path(base))

    def _make_directory(self, header: Header, base: bytes) -> None:
        mode = header.mode & _ALL_MODES
        merged = False
        try:
            os.mkdir(base, mode & _PERMISSIONS, dir_fd=self._parent)
        except FileExistsError:
            merged = self._replace(header, base)
            if not merged:
                os.mkdir(base, mode & _PERMISSIONS, dir_fd=self._parent)
        if merged or self._must_own(header):
            self._own_it(header, base)
        if merged or mode & 0o7000 or self._parent_setgid:
            os.chmod(base, mode, dir_fd=self._parent)
        if header.xattrs:
            set_xattrs(self._name_on_host(base), header, self._privileged)
        if merged:
            self._return()  # the directory may be open, and its set-group-id bit be another now
        self._times.add(self._path(base), *file_times(header))

    def _make_symlink(self, header: Header, base: bytes) -> None:
        if not header.linkname:
            raise InvalidEntry(header.name, "a symbolic link without a target")
        try:
            os.symlink(header.linkname, base, dir_fd=self._parent)
        except FileExistsError:
            self._replace(header, base)
            os.symlink(header.linkname, base, dir_fd=self._parent)
        if self._must_own(header):
            self._own_it(header, base)
        self._finish_name(header, base)
        if self._layered:
            self.size += len(header.linkname)

    def _make_node(self, header: Header, base: bytes) -> None:
        """A device or a fifo. A character device 0:0 is overlayfs's own mark; no image may bring it."""
        if header.kind == tar.CHARACTER and header.major == header.minor == 0:
            raise InvalidEntry(header.name, "a character device 0:0 is overlayfs's own mark for a deleted file")
        mode = header.mode & _ALL_MODES
        if not (0 <= header.major < 1 << 32 and 0 <= header.minor < 1 << 32):
            raise InvalidEntry(header.name, f"device number {header.major}:{header.minor}")
        device = os.makedev(header.major, header.minor) if header.kind != tar.FIFO else 0
        if device == 0 and header.kind == tar.CHARACTER:
            raise InvalidEntry(header.name, f"device number {header.major}:{header.minor}")
        if device and not self._initial:
            return  # no user namespace may make devices; Docker leaves them out there too
        node = mode | _DEVICE_TYPE[header.kind]
        try:
            os.mknod(base, node, device, dir_fd=self._parent)
        except FileExistsError:
            self._replace(header, base)
            os.mknod(base, node, device, dir_fd=self._parent)
        if self._must_own(header):
            self._own_it(header, base)
            os.chmod(base, mode, dir_fd=self._parent)
        self._finish_name(header, base)

    def _make_hard_link(self, header: Header, base: bytes) -> None:
        target = clean(header.linkname, header.name)
        if not target or target == self._path(base):
            raise InvalidEntry(header.name, f"hard link to {os.fsdecode(header.linkname)!r}")
        try:
            status = self._link(header, target, base)
        except FileExistsError:
            self._replace(header, base)
            status = self._link(header, target, base)
        self._settle_link(header, base, status)

    def _link(self, header: Header, target: bytes, base: bytes) -> os.stat_result:
        directory, _, name = target.rpartition(b"/")
        source, _ = self._place.directory(directory, create=False)
        status = os.stat(name, dir_fd=source, follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode) or whiteout.is_overlay_whiteout(status):
            raise InvalidEntry(header.name, f"hard link to {os.fsdecode(header.linkname)!r}, which is no file")
        os.link(name, base, src_dir_fd=source, dst_dir_fd=self._parent, follow_symlinks=False)
        return status

    def _settle_link(self, header: Header, base: bytes, status: os.stat_result) -> None:
        """A hard link's own header counts for the file; what is the same already stays, capabilities with it."""
        link = stat.S_ISLNK(status.st_mode)
        if self._privileged and (status.st_uid, status.st_gid) != (header.uid, header.gid):
            self._own_it(header, base)
            status = os.stat(base, dir_fd=self._parent, follow_symlinks=False)
        if not link and stat.S_IMODE(status.st_mode) != header.mode & _ALL_MODES:
            os.chmod(base, header.mode & _ALL_MODES, dir_fd=self._parent)
        self._finish_name(header, base)

    # Whiteouts

    def _mark(self, header: Header, base: bytes) -> None:
        """A whiteout, an opaque mark or one of AUFS's records: nothing of that name comes to be on disk."""
        self._reader.inline()
        if self._ignored or (base.startswith(whiteout.META_PREFIX) and base != whiteout.OPAQUE):
            return
        if base == whiteout.OPAQUE:
            if self._aufs:
                self._touch(whiteout.OPAQUE)
            elif self._layered:
                os.setxattr(f"/proc/self/fd/{self._parent}", self._opaque, b"y")
            else:
                self._clear(self._directory)
            return
        name = whiteout.hidden_name(base)
        if name is None:
            raise InvalidEntry(header.name, "a whiteout that hides no name")
        if self._aufs:
            self._hide_aufs(name)
        elif self._layered:
            self._hide(header, name)
        else:
            self._delete(name)

    def _hide_aufs(self, name: bytes) -> None:
        """As :meth:`_hide`; AUFS's mark would hide what this layer itself brought."""
        try:
            status = os.stat(name, dir_fd=self._parent, follow_symlinks=False)
        except FileNotFoundError:
            self._touch(whiteout.PREFIX + name)
            self._hidden.add(self._path(name))
            return
        if stat.S_ISDIR(status.st_mode):
            self._make_opaque(name)

    def _show(self, header: Header, base: bytes) -> None:
        """AUFS form: this layer brings what it hid before. What was below a directory stays hidden."""
        path = self._path(base)
        if path not in self._hidden:
            return
        self._hidden.discard(path)
        os.unlink(whiteout.PREFIX + base, dir_fd=self._parent)
        if header.kind == tar.DIRECTORY:
            os.mkdir(base, header.mode & _PERMISSIONS, dir_fd=self._parent)
            self._make_opaque(base)
            self._implied.add(path)

    def _touch(self, name: bytes) -> None:
        """A mark of AUFS's, which may be there already."""
        os.close(os.open(name, _CREATE & ~os.O_EXCL, 0o444, dir_fd=self._parent))

    def _hide(self, header: Header, name: bytes) -> None:
        try:
            os.mknod(name, stat.S_IFCHR, 0, dir_fd=self._parent)
        except FileExistsError:
            # This layer brought the name already and keeps it; of a directory only the layer's own content remains.
            if stat.S_ISDIR(os.stat(name, dir_fd=self._parent, follow_symlinks=False).st_mode):
                self._make_opaque(name)
            return
        if self._must_own(header):
            os.chown(name, header.uid, header.gid, dir_fd=self._parent, follow_symlinks=False)

    def _make_opaque(self, base: bytes) -> None:
        if self._aufs:
            self._touch(base + b"/" + whiteout.OPAQUE)
            return
        os.setxattr(self._name_on_host(base), self._opaque, b"y", follow_symlinks=False)

    def _delete(self, name: bytes) -> None:
        """SNAPSHOT form: remove what lower layers have called ``name``."""
        path = self._path(name)
        try:
            status = os.stat(name, dir_fd=self._parent, follow_symlinks=False)
        except FileNotFoundError:
            return
        if path not in self._own and path not in self._entered:
            remove(self._parent, name, status)
            self._return()
        elif stat.S_ISDIR(status.st_mode):
            self._clear(path)

    def _clear(self, path: bytes) -> None:
        """SNAPSHOT form: remove what lower layers have below the directory ``path``."""
        pending = [path]
        while pending:
            directory = pending.pop()
            descriptor = os.dup(self._place.directory(directory)[0])
            try:
                for text in os.listdir(f"/proc/self/fd/{descriptor}"):
                    name = os.fsencode(text)
                    inner = directory + b"/" + name if directory else name
                    status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
                    if inner not in self._own and inner not in self._entered:
                        remove(descriptor, name, status)
                    elif stat.S_ISDIR(status.st_mode):
                        pending.append(inner)
            finally:
                os.close(descriptor)
        self._return()

    # Replacing

    def _replace(self, header: Header, base: bytes) -> bool:
        """Make room for the entry where something is already; ``True`` when both are directories and merge."""
        status = os.stat(base, dir_fd=self._parent, follow_symlinks=False)
        path = self._path(base)
        if self._layered and whiteout.is_overlay_whiteout(status):
            os.unlink(base, dir_fd=self._parent)
            if header.kind == tar.DIRECTORY:
                self._opaque_directory(header, base)
                return True
            return False
        if header.kind == tar.DIRECTORY and stat.S_ISDIR(status.st_mode):
            if path in self._implied:
                self._implied.discard(path)
            elif self._layered or path in self._own:
                self._reader.inline(anonymous=True)
            return True
        brought = self._layered or path in self._own or path in self._entered
        if brought:
            self._reader.inline(anonymous=path not in self._implied)
        if stat.S_ISLNK(status.st_mode) and self._layered:
            self.size -= status.st_size
        if remove(self._parent, base, status) and brought:
            raise DuplicatePath(header.name)
        if stat.S_ISDIR(status.st_mode):
            self._times.replaced = True
            self._return()
        return False

    def _opaque_directory(self, header: Header, base: bytes) -> None:
        """A directory where this layer deleted a name: nothing of what was below that name shines through."""
        os.mkdir(base, header.mode & _PERMISSIONS, dir_fd=self._parent)
        self._make_opaque(base)

    # Metadata

    def _must_own(self, header: Header) -> bool:
        """Whether a new file has another owner than it should have. Without privileges nothing can be done about it."""
        if not self._privileged:
            return False
        if header.uid == self._user and header.gid == self._group and not self._parent_setgid:
            return False
        check_owner(header)
        return True

    def _own_it(self, header: Header, base: bytes) -> None:
        if self._privileged:
            check_owner(header)
            os.chown(base, header.uid, header.gid, dir_fd=self._parent, follow_symlinks=False)

    def _finish_name(self, header: Header, base: bytes) -> None:
        """Extended attributes and times of what can't be held open."""
        if header.xattrs:
            set_xattrs(self._name_on_host(base), header, self._privileged)
        os.utime(base, ns=file_times(header), dir_fd=self._parent, follow_symlinks=False)

    def _name_on_host(self, base: bytes) -> bytes:
        """A path for calls that take no directory descriptor; ``base`` itself is never followed."""
        return b"/proc/self/fd/%d/%b" % (self._parent, base)

    def _set_directory_times(self) -> None:
        """Last of all: whatever is created in a directory changes its time."""
        for path, times in self._times:
            directory, _, base = path.rpartition(b"/")
            try:
                parent, _ = self._place.directory(directory, create=False)
                if self._times.replaced:
                    status = os.stat(base, dir_fd=parent, follow_symlinks=False)
                    if not stat.S_ISDIR(status.st_mode):
                        continue
                os.utime(base, ns=times, dir_fd=parent, follow_symlinks=False)
            except (FileNotFoundError, NotADirectoryError):
                continue  # replaced by something else later in the archive


_MAKERS = {
    tar.DIRECTORY: Applier._make_directory,
    tar.SYMLINK: Applier._make_symlink,
    tar.HARD_LINK: Applier._make_hard_link,
    tar.CHARACTER: Applier._make_node,
    tar.BLOCK_DEVICE: Applier._make_node,
    tar.FIFO: Applier._make_node,
}

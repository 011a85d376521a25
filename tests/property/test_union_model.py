"""Random operations give the same tree and the same errors on the union library, its mount, the kernel's overlayfs and
a plain directory; and what one wrote the others show."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from lamina.unionfs import fuse
from lamina.unionfs.options import MountOptions
from lamina.unionfs.union import Union
from support.mounts import unmount_all

pytestmark = pytest.mark.root

NAMES = ["a", "b", "c"]
#: Every place that an operation may name: three levels of the same three names.
PLACES = [
    *NAMES,
    *(f"{one}/{two}" for one in NAMES for two in NAMES),
    *(f"a/b/{name}" for name in NAMES),
    *(f"b/a/{name}" for name in NAMES),
]
places = st.sampled_from(PLACES)
contents = st.binary(max_size=12)


class Entry(NamedTuple):
    """What all of them must agree on."""

    kind: int
    mode: int
    owner: tuple[int, int]
    content: bytes
    links: int
    attributes: tuple[tuple[str, bytes], ...]


class Subject:
    """A tree below a directory of the host: a mount, or a plain one."""

    def __init__(self, root: str) -> None:
        self.root = root

    def path(self, place: str) -> str:
        return f"{self.root}/{place}"

    def write(self, place: str, data: bytes, flags: int) -> None:
        descriptor = os.open(self.path(place), flags | os.O_WRONLY | os.O_NOFOLLOW, 0o644)
        with contextlib.closing(os.fdopen(descriptor, "wb", buffering=0)) as file:
            file.write(data)

    def mkdir(self, place: str, mode: int) -> None:
        os.mkdir(self.path(place), mode)

    def rmdir(self, place: str) -> None:
        os.rmdir(self.path(place))

    def unlink(self, place: str) -> None:
        os.unlink(self.path(place))

    def rename(self, source: str, target: str) -> None:
        os.rename(self.path(source), self.path(target))

    def link(self, source: str, target: str) -> None:
        os.link(self.path(source), self.path(target), follow_symlinks=False)

    def symlink(self, target: str, place: str) -> None:
        os.symlink(target, self.path(place))

    def mknod(self, place: str) -> None:
        os.mknod(self.path(place), stat.S_IFIFO | 0o600)

    def chmod(self, place: str, mode: int) -> None:
        # The library follows no link, so no subject may be asked to.
        if os.path.islink(self.path(place)):
            raise OSError(errno.EOPNOTSUPP, "a link")
        os.chmod(self.path(place), mode)

    def chown(self, place: str, uid: int, gid: int) -> None:
        os.lchown(self.path(place), uid, gid)

    def truncate(self, place: str, size: int) -> None:
        descriptor = os.open(self.path(place), os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with contextlib.closing(os.fdopen(descriptor, "wb", buffering=0)):
            os.ftruncate(descriptor, size)

    def setxattr(self, place: str, value: bytes) -> None:
        os.setxattr(self.path(place), "trusted.note", value, follow_symlinks=False)

    def tree(self) -> dict[str, Entry]:
        return plain_tree(self.root)


class Library(Subject):
    """The same operations on a :class:`Union`."""

    def __init__(self, options: MountOptions) -> None:
        super().__init__("")
        self.union = Union(options)

    def write(self, place: str, data: bytes, flags: int) -> None:
        descriptor = self.union.open(place, flags | os.O_WRONLY, 0o644)
        with contextlib.closing(os.fdopen(descriptor, "wb", buffering=0)) as file:
            file.write(data)

    def mkdir(self, place: str, mode: int) -> None:
        self.union.mkdir(place, mode)

    def rmdir(self, place: str) -> None:
        self.union.rmdir(place)

    def unlink(self, place: str) -> None:
        self.union.unlink(place)

    def rename(self, source: str, target: str) -> None:
        self.union.rename(source, target)

    def link(self, source: str, target: str) -> None:
        self.union.link(source, target)

    def symlink(self, target: str, place: str) -> None:
        self.union.symlink(target, place)

    def mknod(self, place: str) -> None:
        self.union.mknod(place, stat.S_IFIFO | 0o600)

    def chmod(self, place: str, mode: int) -> None:
        self.union.chmod(place, mode)

    def chown(self, place: str, uid: int, gid: int) -> None:
        self.union.chown(place, uid, gid)

    def truncate(self, place: str, size: int) -> None:
        self.union.truncate(place, size)

    def setxattr(self, place: str, value: bytes) -> None:
        self.union.setxattr(place, "trusted.note", value)

    def tree(self) -> dict[str, Entry]:
        found = {}
        for directory, entries in self.union.walk():
            for entry in entries:
                path = directory + b"/" + entry.name if directory else entry.name
                found[os.fsdecode(path)] = self._entry(path)
        return found

    def _entry(self, path: bytes) -> Entry:
        status = self.union.lstat(path)
        kind = stat.S_IFMT(status.st_mode)
        content = b""
        if kind == stat.S_IFREG:
            with os.fdopen(self.union.open(path), "rb") as file:
                content = file.read()
        elif kind == stat.S_IFLNK:
            content = self.union.readlink(path)
        names = sorted(self.union.listxattr(path))
        attributes = tuple((name, self.union.getxattr(path, name)) for name in names)
        links = 0 if kind == stat.S_IFDIR else status.st_nlink
        return Entry(kind, stat.S_IMODE(status.st_mode), (status.st_uid, status.st_gid), content, links, attributes)


def plain_tree(root: str) -> dict[str, Entry]:
    """Everything below a directory of the host."""
    found = {}
    for directory, directories, files in os.walk(root):
        for name in directories + files:
            path = os.path.join(directory, name)
            status = os.lstat(path)
            kind = stat.S_IFMT(status.st_mode)
            content = b""
            if kind == stat.S_IFREG:
                with open(path, "rb") as file:
                    content = file.read()
            elif kind == stat.S_IFLNK:
                content = os.fsencode(os.readlink(path))
            names = sorted(os.listxattr(path, follow_symlinks=False))
            attributes = tuple((name, os.getxattr(path, name, follow_symlinks=False)) for name in names)
            links = 0 if kind == stat.S_IFDIR else status.st_nlink
            owner = status.st_uid, status.st_gid
            found[os.path.relpath(path, root)] = Entry(
                kind, stat.S_IMODE(status.st_mode), owner, content, links, attributes
            )
    return found


def populate(lowers: list[str]) -> None:
    """Files that collide, directories that merge, a whiteout and an opaque directory between the lower layers."""
    top, bottom = lowers
    for directory in ("a/b", "b/a", "c/c"):
        os.makedirs(f"{bottom}/{directory}")
    os.makedirs(f"{top}/a/b")
    os.makedirs(f"{top}/b/c")
    for place in ("a/a", "a/b/a", "a/b/b", "b/a/a", "b/b", "c/a", "c/c/x"):
        Path(bottom, place).write_text(f"bottom {place}")
    for place in ("a/b/a", "a/c", "b/c/y"):
        Path(top, place).write_text(f"top {place}")
    os.symlink("a", f"{bottom}/b/link")
    os.mknod(f"{top}/b/b", stat.S_IFCHR, 0)
    os.mkdir(f"{top}/c")
    os.setxattr(f"{top}/c", "trusted.overlay.opaque", b"y")
    Path(top, "c/b").write_text("in an opaque directory")


def options_of(base: str, upper: str) -> MountOptions:
    return MountOptions((f"{base}/top", f"{base}/bottom"), f"{base}/{upper}", f"{base}/{upper}-work")


@contextlib.contextmanager
def kernels(options: MountOptions, point: str) -> Iterator[str]:
    """The kernel's overlayfs, directories renamed by redirect as ours does."""
    text = (
        f"lowerdir={':'.join(options.lowerdirs)},upperdir={options.upperdir},workdir={options.workdir},redirect_dir=on"
    )
    switches = f"index={'on' if options.inode_index else 'off'},metacopy={'on' if options.metacopy else 'off'}"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", f"{text},{switches}", point], check=True)
    try:
        yield point
    finally:
        subprocess.run(["umount", point], check=True)


@contextlib.contextmanager
def ours(options: MountOptions, point: str) -> Iterator[str]:
    fuse.mount_in_background(options, point)
    try:
        yield point
    finally:
        fuse.unmount(point)


class Machine(RuleBasedStateMachine):
    """Four subjects, one sequence."""

    metacopy = False
    index = False

    def options(self, upper: str) -> MountOptions:
        return options_of(self.base, upper)._replace(metacopy=self.metacopy, inode_index=self.index)

    def __init__(self) -> None:
        super().__init__()
        self.base = tempfile.mkdtemp(prefix="lamina-union-model-")
        self.stack = contextlib.ExitStack()
        self.subjects: dict[str, Subject] = {}

    @initialize()
    def begin(self) -> None:
        for name in (
            "top",
            "bottom",
            "plain",
            *(f"{kind}{part}" for kind in KINDS for part in ("", "-work", "-merged")),
        ):
            os.mkdir(f"{self.base}/{name}")
        populate([f"{self.base}/top", f"{self.base}/bottom"])
        if self.index:
            for layer, name in (("top", "a/b/a"), ("bottom", "c/c/x"), ("bottom", "a/a")):
                for other in ("a/l", "b/c/l", "c/l"):
                    with contextlib.suppress(OSError):
                        os.link(f"{self.base}/{layer}/{name}", f"{self.base}/{layer}/{other}")
        mounted = {"kernel": kernels, "mount": ours}
        for kind, mount in mounted.items():
            point = self.stack.enter_context(mount(self.options(kind), f"{self.base}/{kind}-merged"))
            self.subjects[kind] = Subject(point)
        library = Library(self.options("library"))
        self.stack.callback(library.union.close)
        self.subjects["library"] = library
        subprocess.run(
            ["cp", "-a", f"{self.base}/kernel-merged/.", f"{self.base}/plain/"], check=True
        )  # a plain copy of what they all show
        self.subjects["plain"] = Subject(f"{self.base}/plain")

    def _all(self, operation: Callable[[Subject], None], *named: str) -> None:
        if any(self._through_link(place) for place in named):
            return
        answers = {}
        for name, subject in self.subjects.items():
            try:
                operation(subject)
                answers[name] = 0
            except OSError as error:
                answers[name] = error.errno or -1
        assert len(set(answers.values())) == 1, {
            name: errno.errorcode.get(code, code) for name, code in answers.items()
        }

    @rule(
        place=places,
        data=contents,
        flags=st.sampled_from([0, os.O_TRUNC, os.O_CREAT, os.O_CREAT | os.O_EXCL, os.O_APPEND]),
    )
    def write(self, place: str, data: bytes, flags: int) -> None:
        if not self._is_special(place):
            self._all(lambda subject: subject.write(place, data, flags), place)

    @rule(place=places, mode=st.sampled_from([0o755, 0o700, 0o2775]))
    def mkdir(self, place: str, mode: int) -> None:
        self._all(lambda subject: subject.mkdir(place, mode), place)

    @rule(place=places)
    def rmdir(self, place: str) -> None:
        self._all(lambda subject: subject.rmdir(place), place)

    @rule(place=places)
    def unlink(self, place: str) -> None:
        self._all(lambda subject: subject.unlink(place), place)

    @rule(source=places, to=places)
    def rename(self, source: str, to: str) -> None:
        self._all(lambda subject: subject.rename(source, to), source, to)

    @rule(source=places, to=places)
    def link(self, source: str, to: str) -> None:
        self._all(lambda subject: subject.link(source, to), source, to)

    @rule(to=places, place=places)
    def symlink(self, to: str, place: str) -> None:
        self._all(lambda subject: subject.symlink(to, place), place)

    @rule(place=places)
    def mknod(self, place: str) -> None:
        self._all(lambda subject: subject.mknod(place), place)

    @rule(place=places, mode=st.sampled_from([0o600, 0o755, 0o4711, 0o1777]))
    def chmod(self, place: str, mode: int) -> None:
        self._all(lambda subject: subject.chmod(place, mode), place)

    @rule(place=places, uid=st.sampled_from([0, 1000]), gid=st.sampled_from([0, 50]))
    def chown(self, place: str, uid: int, gid: int) -> None:
        self._all(lambda subject: subject.chown(place, uid, gid), place)

    @rule(place=places, size=st.integers(0, 20))
    def truncate(self, place: str, size: int) -> None:
        if not self._is_special(place):
            self._all(lambda subject: subject.truncate(place, size), place)

    @rule(place=places, value=contents)
    def setxattr(self, place: str, value: bytes) -> None:
        self._all(lambda subject: subject.setxattr(place, value), place)

    def _through_link(self, place: str) -> bool:
        """Whether the way to ``place`` goes through a symbolic link: to the library a path is a place, not a way."""
        parents = place.split("/")[:-1]
        return any(os.path.islink(self.subjects["plain"].path("/".join(parents[: n + 1]))) for n in range(len(parents)))

    def _is_special(self, place: str) -> bool:
        """A fifo would wait; a link is followed by none of them, with different errors."""
        path = self.subjects["plain"].path(place)
        return os.path.lexists(path) and not stat.S_ISREG(os.lstat(path).st_mode)

    @invariant()
    def the_same_tree(self) -> None:
        trees = {name: subject.tree() for name, subject in self.subjects.items()}
        expected = trees.pop("plain", None)
        for name, tree in trees.items():
            assert tree == expected, name

    def teardown(self) -> None:
        try:
            if self.subjects:
                self._exchange()
        finally:
            self.stack.close()
            unmount_all(self.base)
            shutil.rmtree(self.base)

    def _exchange(self) -> None:
        """What one wrote, mounted by another."""
        expected = self.subjects["plain"].tree()
        self.stack.close()
        with kernels(self.options("mount"), f"{self.base}/kernel-merged") as point:
            assert plain_tree(point) == expected, "ours on the kernel's mount"
        with kernels(self.options("library"), f"{self.base}/kernel-merged") as point:
            assert plain_tree(point) == expected, "the library's on the kernel's mount"
        with ours(self.options("kernel"), f"{self.base}/mount-merged") as point:
            assert plain_tree(point) == expected, "the kernel's on our mount"


KINDS = ("kernel", "mount", "library")


class MetacopyMachine(Machine):
    """The same with files that have only their metadata in the upper layer."""

    metacopy = True


class IndexMachine(Machine):
    """The same with lower files of several names, which stay one file."""

    index = True


def run(machine: type[Machine], examples: int) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=(Phase.explicit, Phase.reuse, Phase.generate),  # every example mounts: shrinking takes minutes
            print_blob=True,
        ),
    )


def test_random_operations_give_the_same_everywhere() -> None:
    run(Machine, 10)


def test_random_operations_give_the_same_with_data_that_stays_below() -> None:
    run(MetacopyMachine, 4)


def test_random_operations_give_the_same_with_hard_links_that_stay_together() -> None:
    run(IndexMachine, 4)

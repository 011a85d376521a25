"""A mounted union behaves as a file system of the kernel's: open files, links, rights, numbers, ends."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import mmap
import os
import signal
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lamina.errors import SystemFailure
from lamina.linux.files import fallocate, renameat2
from lamina.unionfs import fuse
from lamina.unionfs.options import MountOptions
from support.mounts import unmount_all

pytestmark = pytest.mark.root


class Mounted:
    """A union's mount and what it is made of."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.merged = base / "merged"
        self.options = MountOptions((f"{base}/lower",), f"{base}/upper", f"{base}/work")
        self.pid = fuse.mount_in_background(self.options, str(self.merged))

    def path(self, name: str) -> str:
        return f"{self.merged}/{name}"


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Mounted]:
    for name in ("lower/dir", "upper", "work", "merged"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "lower/file").write_text("lower")
    (tmp_path / "lower/dir/inside").write_text("inside")
    (tmp_path / "lower/large").write_bytes(b"x" * (6 << 20))
    try:
        yield Mounted(tmp_path)
    finally:
        unmount_all(str(tmp_path))


def as_user(mounted: Mounted, action: Callable[[], object]) -> None:
    """Do ``action`` in the merged directory, in a child process as user and group 1000."""
    child = os.fork()
    if child == 0:
        try:
            os.chdir(mounted.merged)  # what is above is not for others
            os.setgroups([])
            os.setgid(1000)
            os.setuid(1000)
            action()
        except BaseException:
            os._exit(1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def ended(pid: int) -> bool:
    """Whether a process ends within seconds."""
    for _ in range(500):
        try:
            with open(f"/proc/{pid}/stat", encoding="ascii") as file:
                if file.read().rpartition(")")[2].split()[0] == "Z":
                    return True
        except FileNotFoundError:
            return True
        time.sleep(0.01)
    return False


def mode(path: str) -> int:
    return stat.S_IMODE(os.stat(path).st_mode)


def open_files(pid: int) -> list[str]:
    """What a process has open, as far as it still has when it is looked at."""
    found = []
    for number in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            found.append(os.readlink(f"/proc/{pid}/fd/{number}"))
    return found


def test_an_open_file_goes_on_with_the_copied_up_version(mounted: Mounted) -> None:
    for name in ("file", "large"):  # a large one is copied by another thread
        reader = os.open(mounted.path(name), os.O_RDONLY)
        number = os.fstat(reader).st_ino
        with open(mounted.path(name), "r+b") as file:
            file.write(b"UPPER")
        assert os.pread(reader, 5, 0) == b"UPPER"
        os.unlink(mounted.path(name))
        assert os.pread(reader, 5, 0) == b"UPPER"
        assert (os.fstat(reader).st_nlink, os.fstat(reader).st_ino) == (0, number)
        os.close(reader)


def test_a_deleted_lower_file_can_still_be_read_and_changed(mounted: Mounted) -> None:
    reader = os.open(mounted.path("file"), os.O_RDONLY)
    os.unlink(mounted.path("file"))
    os.fchmod(reader, 0o600)
    writer = os.open(f"/proc/self/fd/{reader}", os.O_WRONLY)
    os.pwrite(writer, b"L", 0)
    assert os.pread(reader, 9, 0) == b"Lower"
    assert stat.S_IMODE(os.fstat(reader).st_mode) == 0o600
    os.close(writer)
    os.close(reader)


def test_a_nameless_file_can_be_given_a_name(mounted: Mounted) -> None:
    file = os.open(mounted.path("dir"), os.O_TMPFILE | os.O_RDWR, 0o644)
    os.write(file, b"data")
    directory = os.open(mounted.path("dir"), os.O_RDONLY)
    os.link(f"/proc/self/fd/{file}", "named", dst_dir_fd=directory, follow_symlinks=True)
    os.close(directory)
    os.close(file)
    assert Path(mounted.path("dir/named")).read_text() == "data"


def test_files_are_mapped_locked_and_full_of_holes(mounted: Mounted) -> None:
    file = os.open(mounted.path("new"), os.O_CREAT | os.O_RDWR)
    os.pwrite(file, bytes(64 << 10), 0)
    fallocate(file, 3, 0, 32 << 10)
    assert os.lseek(file, 0, os.SEEK_DATA) == 32 << 10
    fallocate(file, 0, 0, 128 << 10)
    assert os.fstat(file).st_size == 128 << 10
    with mmap.mmap(file, 4096) as memory:
        memory[:4] = b"mmap"
    assert os.pread(file, 4, 0) == b"mmap"
    other = os.open(mounted.path("new"), os.O_RDWR)
    fcntl.flock(file, fcntl.LOCK_EX)
    with pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert os.copy_file_range(file, other, 4, 0, 100) == 4
    assert os.pread(other, 4, 100) == b"mmap"
    with pytest.raises(OSError, match=os.strerror(errno.ENOTTY)):
        fcntl.ioctl(file, 0x80086601, bytearray(8))  # FS_IOC_GETFLAGS
    os.fsync(file)
    os.close(other)
    os.close(file)


def test_small_and_passed_through_files_show_the_latest_data(mounted: Mounted) -> None:
    for size in (10, 1 << 20):
        path = mounted.path(f"sized{size}")
        for letter in (b"a", b"b", b"c"):
            with open(path, "wb") as writer:
                writer.write(letter * size)
            with open(path, "rb") as reader:
                assert reader.read() == letter * size
                with open(path, "r+b") as writer:
                    writer.write(b"Z")
                assert os.pread(reader.fileno(), 2, 0) == b"Z" + letter


def test_writing_takes_set_user_id_away(mounted: Mounted) -> None:
    def write() -> None:
        with open("program", "r+b", buffering=0) as file:
            file.write(b"x")

    Path(mounted.path("program")).write_text("program")
    os.chmod(mounted.path("program"), 0o6777)
    as_user(mounted, write)
    assert mode(mounted.path("program")) == 0o777


def test_new_files_belong_to_who_makes_them(mounted: Mounted) -> None:
    os.chmod(mounted.path("dir"), 0o2777)
    os.chown(mounted.path("dir"), 0, 50)
    os.chmod(mounted.path("dir"), 0o2777)

    def make() -> None:
        os.umask(0o027)
        os.mkdir("dir/made")
        os.symlink("x", "dir/link")
        Path("dir/text").write_text("x")

    as_user(mounted, make)
    for name in ("made", "link", "text"):
        status = os.lstat(mounted.path(f"dir/{name}"))
        assert (status.st_uid, status.st_gid) == (1000, 50)
    assert mode(mounted.path("dir/made")) == 0o2750
    assert mode(mounted.path("dir/text")) == 0o640
    with pytest.raises(AssertionError):
        as_user(mounted, lambda: os.mkdir("refused"))


def test_names_are_exchanged_over_directories_and_files(mounted: Mounted) -> None:
    renameat2(mounted.path("dir"), mounted.path("file"), flags=2)
    assert Path(mounted.path("file/inside")).read_text() == "inside"
    assert Path(mounted.path("dir")).read_text() == "lower"


def test_inode_numbers_stay_over_copy_up_and_the_next_mount(mounted: Mounted) -> None:
    def numbers() -> dict[str, int]:
        return {
            os.path.join(place, name): os.lstat(os.path.join(place, name)).st_ino
            for place, directories, files in os.walk(mounted.merged)
            for name in (*directories, *files)
        }

    before = numbers()
    os.chmod(mounted.path("dir/inside"), 0o600)
    assert numbers() == before
    os.rename(mounted.path("dir/inside"), mounted.path("inside"))
    before = numbers()
    fuse.unmount(str(mounted.merged))
    assert ended(mounted.pid)
    Mounted(mounted.base)
    assert numbers() == before
    with os.scandir(mounted.merged) as entries:
        assert {entry.path: entry.inode() for entry in entries}.items() <= before.items()


def test_a_removed_directory_and_file_can_still_be_asked_about(mounted: Mounted) -> None:
    os.mkdir(mounted.path("new"))
    Path(mounted.path("text")).write_text("text")
    directory = os.open(mounted.path("new"), os.O_RDONLY)
    file = os.open(mounted.path("text"), os.O_PATH)
    os.rmdir(mounted.path("new"))
    os.unlink(mounted.path("text"))
    assert os.fstat(directory).st_nlink == 0
    assert os.listdir(directory) == []
    assert (os.fstat(file).st_nlink, os.fstat(file).st_size) == (0, 4)
    os.close(file)
    os.close(directory)


def test_the_kernels_overlay_shows_the_same(mounted: Mounted) -> None:
    def tree() -> dict[str, tuple[int, int, bytes]]:
        found = {}
        for place, directories, files in os.walk(mounted.merged):
            for path in (os.path.join(place, name) for name in (*directories, *files)):
                status = os.lstat(path)
                content = Path(path).read_bytes() if stat.S_ISREG(status.st_mode) else b""
                found[path] = (status.st_mode, status.st_mtime_ns, content)
        return found

    os.rename(mounted.path("dir"), mounted.path("moved"))
    os.mkdir(mounted.path("dir"))
    os.unlink(mounted.path("moved/inside"))
    Path(mounted.path("file")).write_text("changed")
    shown = tree()
    fuse.unmount(str(mounted.merged))
    assert ended(mounted.pid)
    base = mounted.base
    options = f"lowerdir={base}/lower,upperdir={base}/upper,workdir={base}/work,redirect_dir=on"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, mounted.merged], check=True)
    assert tree() == shown


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_unmounts_and_ends_the_server(mounted: Mounted, number: signal.Signals) -> None:
    os.kill(mounted.pid, number)
    assert ended(mounted.pid)
    assert not os.path.ismount(mounted.merged)


def test_layers_are_not_busy_and_the_same_layers_mount_only_once(mounted: Mounted) -> None:
    with pytest.raises(SystemFailure, match="in use by another union"):
        fuse.mount_in_background(mounted.options, str(mounted.merged))
    fuse.unmount(str(mounted.merged))
    again = Mounted(mounted.base)
    assert sorted(os.listdir(again.merged)) == ["dir", "file", "large"]


def test_a_directory_is_read_while_it_is_emptied_and_filled(mounted: Mounted) -> None:
    directory = mounted.path("many")
    os.mkdir(directory)
    stay = {f"stay{number:04}" for number in range(2000)}
    for name in stay:
        os.close(os.open(f"{directory}/{name}", os.O_CREAT | os.O_WRONLY))
        os.close(os.open(f"{directory}/go{name}", os.O_CREAT | os.O_WRONLY))
    met = []
    with os.scandir(directory) as entries:
        for number, entry in enumerate(entries):
            met.append(entry.name)
            if entry.name.startswith("go"):
                os.unlink(entry.path)
            if number % 500 == 0:
                os.close(os.open(f"{directory}/new{number}", os.O_CREAT | os.O_WRONLY))
                assert {*os.listdir(directory)} >= stay
    assert len(met) == len(set(met))
    assert {*met} >= stay
    assert {name for name in os.listdir(directory) if not name.startswith("new")} == stay


def test_a_released_file_is_closed_though_nothing_else_is_asked(mounted: Mounted) -> None:
    for number in range(10):
        Path(mounted.path(f"released{number}")).write_text("x")
    os.unlink(mounted.path("released0"))
    for _ in range(500):
        if not any("released" in target for target in open_files(mounted.pid)):
            return
        time.sleep(0.01)
    pytest.fail(f"still open: {open_files(mounted.pid)}")


def test_a_listing_shows_what_was_written_since_the_last(mounted: Mounted) -> None:
    os.mkdir(mounted.path("sizes"))
    for name in ("a", "b"):
        Path(mounted.path(f"sizes/{name}")).write_text("x")
    for size in (1, 5000):
        Path(mounted.path("sizes/a")).write_bytes(b"y" * size)
        os.close(os.open(mounted.path("sizes/new"), os.O_CREAT | os.O_WRONLY))
        os.unlink(mounted.path("sizes/new"))
        found = {entry.name: entry.stat().st_size for entry in os.scandir(mounted.path("sizes"))}
        assert found == {"a": size, "b": 1}

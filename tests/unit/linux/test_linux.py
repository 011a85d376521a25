"""System calls against the running kernel."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from lamina.linux import files, mount, openat2, process

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounts need root")


@pytest.fixture
def directory(tmp_path: Path):
    descriptor = os.open(tmp_path, os.O_PATH | os.O_DIRECTORY)
    yield descriptor
    os.close(descriptor)


@pytest.mark.parametrize("path", ["/etc/passwd", "../escape", "link/x", "a/../../escape"])
def test_open_beneath_refuses_to_leave_the_directory(tmp_path: Path, directory: int, path: str) -> None:
    (tmp_path / "link").symlink_to("/etc")
    (tmp_path / "a").mkdir()
    with pytest.raises(OSError, match=r"cross-device link|symbolic links") as caught:
        os.close(openat2.open_beneath(directory, path, os.O_RDONLY))
    assert caught.value.filename == path


def test_open_beneath_creates_a_file_with_the_mode(tmp_path: Path, directory: int) -> None:
    os.close(openat2.open_beneath(directory, b"new", os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode=0o600))
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o600


def test_open_in_root_resolves_absolute_links_inside(tmp_path: Path, directory: int) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "passwd").write_text("inside")
    (tmp_path / "up").symlink_to("../../../../etc/passwd")
    (tmp_path / "absolute").symlink_to("/etc/passwd")
    for name in ("up", "absolute", "/etc/passwd", "../../etc/passwd"):
        descriptor = openat2.open_in_root(directory, name, os.O_RDONLY)
        assert os.read(descriptor, 10) == b"inside"
        os.close(descriptor)


def test_resolved_path_survives_a_rename(tmp_path: Path, directory: int) -> None:
    (tmp_path / "file").write_text("one")
    descriptor = openat2.resolve_in_root(directory, "file")
    (tmp_path / "file").rename(tmp_path / "elsewhere")
    (tmp_path / "file").symlink_to("/etc/passwd")
    assert Path(openat2.descriptor_path(descriptor)).read_text() == "one"
    os.close(descriptor)


def test_null_byte_in_a_path_is_refused(directory: int) -> None:
    with pytest.raises(ValueError, match="null byte"):
        openat2.open_beneath(directory, b"a\0b", os.O_RDONLY)


def test_copy_keeps_content_and_holes(tmp_path: Path) -> None:
    source = tmp_path / "source"
    with source.open("wb") as stream:
        stream.seek(1 << 20)
        stream.write(b"x" * 5000)
        stream.truncate(8 << 20)
    with source.open("rb") as reading, (tmp_path / "target").open("wb") as writing:
        files.copy_data(reading.fileno(), writing.fileno())
    assert (tmp_path / "target").read_bytes() == source.read_bytes()
    assert (tmp_path / "target").stat().st_blocks <= source.stat().st_blocks + 16


def test_rename_without_replacing_refuses_an_existing_name(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    (tmp_path / "b").write_text("b")
    with pytest.raises(FileExistsError) as caught:
        files.renameat2(str(tmp_path / "a"), str(tmp_path / "b"), flags=files.RENAME_NOREPLACE)
    assert caught.value.filename == str(tmp_path / "a")
    files.renameat2(str(tmp_path / "a"), str(tmp_path / "b"), flags=files.RENAME_EXCHANGE)
    assert (tmp_path / "a").read_text() == "b"


def test_sync_calls_accept_real_files(tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb") as stream:
        stream.write(b"x" * 10000)
        stream.flush()
        files.sync_file_range(stream.fileno(), 0, 0)
    files.syncfs(str(tmp_path))


def test_file_system_names_are_dockers() -> None:
    assert files.file_system_name("/proc") == "<unknown>"
    assert files.file_system_name("/dev/shm") == "tmpfs"


def test_call_in_directory_leaves_the_process_where_it_was(tmp_path: Path) -> None:
    before = os.getcwd()
    (tmp_path / "here").touch()
    assert process.call_in_directory(str(tmp_path), lambda: os.listdir(".")) == ["here"]
    assert os.getcwd() == before
    with pytest.raises(FileNotFoundError):
        process.call_in_directory(str(tmp_path / "absent"), lambda: None)


def test_capability_names_match_the_bits() -> None:
    assert process.CAPABILITIES[21] == "CAP_SYS_ADMIN"
    assert process.CAPABILITIES[40] == "CAP_CHECKPOINT_RESTORE"
    assert process.effective_capabilities() <= process.permitted_capabilities()


def test_parent_death_signal_can_be_set_and_cleared() -> None:
    process.set_parent_death_signal(9, parent=os.getppid())
    process.set_parent_death_signal(0)


def test_ordinary_directories_are_no_mount_points(tmp_path: Path) -> None:
    assert not mount.is_mount_point(str(tmp_path))
    assert not mount.is_mount_point(str(tmp_path / "absent"))
    assert mount.is_mount_point("/proc")


def test_options_beyond_a_page_are_refused_instead_of_cut(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="one page"):
        mount.mount("none", str(tmp_path), "tmpfs", 0, "x" * 4096)


@needs_root
@pytest.mark.root
def test_bind_mount_shows_the_source_and_read_only_means_it(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "with space"
    source.mkdir()
    target.mkdir()
    (source / "file").touch()
    mount.bind(str(source), str(target), read_only=True)
    try:
        assert (target / "file").exists()
        assert mount.is_mount_point(str(target))
        assert mount.mount_points(str(tmp_path)) == [str(target)]
        with pytest.raises(OSError, match="Read-only"):
            (target / "new").touch()
    finally:
        mount.unmount(str(target))
    assert not mount.is_mount_point(str(target))
    with pytest.raises(OSError, match="Invalid argument"):
        mount.unmount(str(target))


@needs_root
@pytest.mark.root
def test_a_refused_option_says_what_the_kernel_said(tmp_path: Path) -> None:
    with mount.FileSystemContext("overlay") as context:
        with pytest.raises(OSError, match="overlay: Unknown parameter 'nonsense'"):
            context.set_flag("nonsense")
    with pytest.raises(OSError, match="No such device"):
        mount.FileSystemContext("no-such-fs")


def test_who_is_interrupted_while_a_thread_works_waits_for_its_end() -> None:
    ended = []

    def work() -> None:
        time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.1)
        ended.append(True)

    with pytest.raises(KeyboardInterrupt):
        process.call_in_thread(work, "test")
    assert ended

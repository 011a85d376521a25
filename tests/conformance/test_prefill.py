"""Names made in a layer without mounting it are what they are when they are made in the mounted one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable

import pytest

from lamina.container import initlayer
from lamina.graphdriver.contract import GraphDriver, prefilling
from lamina.layer import skeleton
from lamina.owners import SAME
from support.stacks import Stacks, snapshot, write

pytestmark = pytest.mark.root

SKELETON = initlayer.skeleton(SAME)
Change = Callable[[str], object]


def everyday(root: str) -> None:
    """What distributions' images look like."""
    for name in ("dev", "etc", "proc", "sys", "usr"):
        os.mkdir(f"{root}/{name}")
    write(f"{root}/etc/hosts", "127.0.0.1 localhost")
    os.symlink("/proc/self/mounts", f"{root}/etc/mtab")
    os.chmod(f"{root}/etc", 0o2750)
    os.chown(f"{root}/dev", 7, 9)
    os.setxattr(f"{root}/dev", "user.note", b"of the image")
    os.setxattr(f"{root}/etc", "trusted.note", b"too")


def nothing(root: str) -> None:
    """``FROM scratch``, with one program."""
    write(f"{root}/program", "binary", 0o755)


def directories_for_files(root: str) -> None:
    os.makedirs(f"{root}/etc/hosts/inside")
    os.makedirs(f"{root}/.dockerenv")
    os.makedirs(f"{root}/dev/pts/full")


def remade(root: str) -> None:
    """An opaque directory: what is below it is not seen."""
    shutil.rmtree(f"{root}/dev")
    os.mkdir(f"{root}/dev", 0o700)
    os.mkdir(f"{root}/dev/shm")


def with_less(root: str) -> None:
    os.unlink(f"{root}/etc/hosts")
    os.rmdir(f"{root}/proc")


def link_in_the_way(root: str) -> None:
    os.rmdir(f"{root}/dev")
    os.symlink("/tmp", f"{root}/dev")


def changed(root: str) -> None:
    os.chmod(f"{root}/etc", 0o700)
    write(f"{root}/etc/hostname", "of the upper layer")


#: The layers, bottom first, and whether it can be done without a mount.
IMAGES: dict[str, tuple[list[Change], bool]] = {
    "everyday": ([everyday], True),
    "nothing": ([nothing], True),
    "directories for files": ([directories_for_files], True),
    "merged": ([everyday, changed, lambda root: os.makedirs(f"{root}/dev/pts")], True),
    "remade": ([everyday, remade, changed], True),
    "with less": ([everyday, with_less], False),
    "link in the way": ([everyday, link_in_the_way], False),
    "file in the way": ([lambda root: write(f"{root}/etc")], False),
}


@pytest.mark.parametrize("name", IMAGES)
def test_it_is_as_if_it_had_been_mounted(overlay2: GraphDriver, name: str) -> None:
    layers, is_simple = IMAGES[name]
    able = prefilling(overlay2)
    assert able is not None
    stacks = Stacks(overlay2)
    image = None
    for change in layers:
        image = stacks.layer(image, change)
    mounted = stacks.layer(image, lambda root: skeleton.make(SKELETON, root))
    filled = stacks.new_id()
    overlay2.create_read_write(filled, image)
    assert able.prefill(filled, SKELETON) is is_simple
    if not is_simple:
        assert os.listdir(overlay2.diff_path(filled)) == []
        return
    assert stacks.tree(filled) == stacks.tree(mounted)
    # No more is in the layer itself than what was made.
    assert snapshot(overlay2.diff_path(filled)).keys() == snapshot(overlay2.diff_path(mounted)).keys()


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_the_umask_does_not_matter(overlay2: GraphDriver, umask: int) -> None:
    before = os.umask(umask)
    try:
        overlay2.create_read_write("a" * 64, None)
        able = prefilling(overlay2)
        assert able is not None
        assert able.prefill("a" * 64, SKELETON)
    finally:
        os.umask(before)
    found = snapshot(overlay2.diff_path("a" * 64))
    assert {found[name].mode for name in ("dev", "dev/pts", "etc", "proc", "sys")} == {0o755}


def test_what_is_made_belongs_to_the_owner(overlay2: GraphDriver) -> None:
    stacks = Stacks(overlay2)
    image = stacks.layer(None, everyday)
    overlay2.create_read_write("a" * 64, image)
    able = prefilling(overlay2)
    assert able is not None
    assert able.prefill("a" * 64, SKELETON._replace(owner=(1000, 1001)))
    found = snapshot(overlay2.diff_path("a" * 64))
    assert {found[name].owner for name in ("dev/pts", ".dockerenv", "etc/mtab")} == {(1000, 1001)}
    assert found["dev"].owner == (7, 9)  # as the image has it

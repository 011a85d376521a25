"""Applying a layer's difference gives the layer: what moby's graphtest calls diff, apply and changes."""

from __future__ import annotations

import os
import random
import shutil
import stat
from collections.abc import Callable

import pytest

from lamina.graphdriver.contract import DiffForm
from lamina.layer import changes, difference
from lamina.layer.contract import Change
from lamina.layer.pipeline import UnpackTarget
from lamina.layer.unionchanges import union_changes
from lamina.layer.unpack import unpack_here
from lamina.unionfs.options import Dialect, MountOptions
from support.stacks import Entry, Stacks, write


def tar_of(stacks: Stacks, layer: str) -> bytes:
    """The layer's difference from its parent, as a tar."""
    driver = stacks.driver
    if driver.form is not DiffForm.SNAPSHOT:
        return b"".join(difference.upper_tar(driver.diff_path(layer), driver.form))
    parents = driver.parent_ids(layer)
    parent = driver.diff_path(parents[0]) if parents else None
    return b"".join(difference.snapshot_tar(driver.diff_path(layer), parent))


def apply(stacks: Stacks, tar: bytes, parent: str | None) -> str:
    """A new layer on ``parent``, filled from a tar."""
    layer = stacks.new_id()
    stacks.driver.create(layer, parent)
    unpack_here([tar], UnpackTarget(stacks.driver.diff_path(layer), stacks.driver.form))
    return layer


def changes_of(stacks: Stacks, layer: str) -> list[Change]:
    driver = stacks.driver
    below = [driver.diff_path(parent) for parent in driver.parent_ids(layer)]
    if driver.form is DiffForm.OVERLAY:
        return changes.overlay_changes(driver.diff_path(layer), below)
    if driver.form is DiffForm.AUFS:
        return union_changes(MountOptions(tuple(below), driver.diff_path(layer), dialect=Dialect.AUFS))
    return changes.snapshot_changes(driver.diff_path(layer), below[0] if below else None)


def many_files(root: str) -> None:
    for number in range(300):
        directory = f"{root}/{number % 7}"
        os.makedirs(directory, exist_ok=True)
        write(f"{directory}/file{number}", str(number) * 20)
    os.symlink("file0", f"{root}/0/link")
    os.makedirs(f"{root}/gone/deep")
    write(f"{root}/gone/deep/file")
    write(f"{root}/one")
    os.link(f"{root}/one", f"{root}/two")


def delete_some(root: str) -> None:
    for number in range(0, 300, 3):
        os.unlink(f"{root}/{number % 7}/file{number}")
    shutil.rmtree(f"{root}/gone")


def replace_some(root: str) -> None:
    write(f"{root}/1/file1", "changed")
    os.chmod(f"{root}/2/file2", 0o4711)
    os.rename(f"{root}/3/file10", f"{root}/4/moved")
    shutil.rmtree(f"{root}/5")
    os.mkdir(f"{root}/5", 0o711)
    write(f"{root}/5/new")
    shutil.rmtree(f"{root}/6")
    os.symlink("5", f"{root}/6")
    os.unlink(f"{root}/0/link")
    os.mkdir(f"{root}/0/link")


def add_some(root: str) -> None:
    os.makedirs(f"{root}/added/deep/er")
    write(f"{root}/added/deep/er/file", "x" * 10_000, 0o600)
    os.link(f"{root}/added/deep/er/file", f"{root}/added/linked")
    os.mkfifo(f"{root}/added/fifo")
    os.utime(f"{root}/added/deep", ns=(0, 1_500_000_000_123_456_789))
    os.symlink("/absolute", f"{root}/added/link")
    write(f"{root}/" + "n" * 255)
    write(os.fsdecode(os.fsencode(root) + b"/\xff\n"))


@pytest.mark.parametrize("change", [delete_some, replace_some, add_some, lambda root: None])
def test_a_difference_applied_to_the_same_parent_gives_the_same_tree(
    stacks: Stacks, change: Callable[[str], None]
) -> None:
    base = stacks.layer(None, many_files)
    changed = stacks.layer(base, change)
    applied = apply(stacks, tar_of(stacks, changed), base)
    assert stacks.tree(applied) == stacks.tree(changed)


def test_differences_of_a_whole_stack_give_the_stack_anew(stacks: Stacks) -> None:
    layers: list[str] = []
    for change in (many_files, replace_some, add_some, delete_some_left):
        layers.append(stacks.layer(layers[-1] if layers else None, change))
    copy = None
    for layer in layers:
        copy = apply(stacks, tar_of(stacks, layer), copy)
        assert stacks.tree(copy) == stacks.tree(layer)


def delete_some_left(root: str) -> None:
    shutil.rmtree(f"{root}/added/deep")
    os.unlink(f"{root}/6")
    os.mkdir(f"{root}/6")


def test_a_difference_is_the_same_bytes_every_time(stacks: Stacks) -> None:
    changed = stacks.layer(stacks.layer(None, many_files), replace_some, add_some)
    assert tar_of(stacks, changed) == tar_of(stacks, changed)


def test_a_layer_without_changes_has_no_entries(stacks: Stacks) -> None:
    layer = stacks.layer(stacks.layer(None, many_files))
    assert set(tar_of(stacks, layer)) <= {0}
    assert changes_of(stacks, layer) == []


def test_changes_are_what_was_done(stacks: Stacks) -> None:
    def base(root: str) -> None:
        for name in ("kept", "changed", "deleted"):
            os.mkdir(f"{root}/{name}")
            write(f"{root}/{name}/file", name)
        os.utime(f"{root}/changed/file", (1, 1))

    def change(root: str) -> None:
        write(f"{root}/changed/file", "something longer")
        os.chmod(f"{root}/changed", 0o750)
        shutil.rmtree(f"{root}/deleted")
        os.mkdir(f"{root}/added")
        write(f"{root}/added/file")

    layer = stacks.layer(stacks.layer(None, base), change)
    found = [(item.kind, item.path) for item in changes_of(stacks, layer)]
    assert found == [
        ("A", b"/added"),
        ("A", b"/added/file"),
        ("C", b"/changed"),
        ("C", b"/changed/file"),
        ("D", b"/deleted"),
    ]


def test_everything_in_a_bottom_layer_was_added(stacks: Stacks) -> None:
    layer = stacks.layer(None, lambda root: write(f"{root}/file"))
    assert [(item.kind, item.path) for item in changes_of(stacks, layer)] == [("A", b"/file")]


@pytest.mark.root
def test_owners_devices_and_attributes_travel_through_a_difference(stacks: Stacks) -> None:
    def change(root: str) -> None:
        os.chown(f"{root}/1/file1", 1234, 70_000)
        os.chown(f"{root}/2", 65_534, 65_534)
        os.mknod(f"{root}/device", stat.S_IFCHR | 0o620, os.makedev(1, 3))
        os.chmod(f"{root}/device", 0o620)
        write(f"{root}/ping", "x", 0o755)
        os.setxattr(f"{root}/ping", "security.capability", b"\1\0\0\2\0 \0\0\0\0\0\0\0\0\0\0\0\0\0\0")
        os.symlink("x", f"{root}/link")
        os.lchown(f"{root}/link", 7, 8)

    base = stacks.layer(None, many_files)
    changed = stacks.layer(base, change)
    applied = apply(stacks, tar_of(stacks, changed), base)
    assert stacks.tree(applied) == stacks.tree(changed)


def test_random_changes_travel_through_differences(stacks: Stacks) -> None:
    randomness = random.Random(os.urandom(8))
    layers = [stacks.layer(None, many_files)]
    copy = apply(stacks, tar_of(stacks, layers[0]), None)
    for _ in range(5):
        layers.append(stacks.layer(layers[-1], lambda root: scramble(root, randomness)))
        copy = apply(stacks, tar_of(stacks, layers[-1]), copy)
        assert comparable(stacks, copy) == comparable(stacks, layers[-1])


def comparable(stacks: Stacks, layer: str) -> dict[str, Entry]:
    """The tree; of whole trees without link counts, because a new link to an old file looks like a new file."""
    tree = stacks.tree(layer)
    if stacks.driver.form is not DiffForm.SNAPSHOT:
        return tree
    return {name: entry._replace(links=0) for name, entry in tree.items()}


def scramble(root: str, randomness: random.Random) -> None:
    """Sixty random operations on a tree."""
    for _ in range(60):
        paths = sorted(os.path.join(parent, name) for parent, names, files in os.walk(root) for name in names + files)
        path = randomness.choice(paths)
        directory = path if os.path.isdir(path) and not os.path.islink(path) else os.path.dirname(path)
        fresh = f"{directory}/{randomness.getrandbits(64):x}"
        operation = randomness.choice(("remove", "write", "mkdir", "symlink", "link", "rename", "chmod", "become"))
        if operation == "write":
            write(fresh, str(randomness.random()))
        elif operation == "mkdir":
            os.mkdir(fresh, 0o750)
        elif operation == "symlink":
            os.symlink(randomness.choice(("nowhere", path)), fresh)
        elif operation == "link" and os.path.isfile(path) and not os.path.islink(path):
            os.link(path, fresh)
        elif operation == "rename" and path != directory:
            os.rename(path, fresh)
        elif operation == "chmod" and not os.path.islink(path):
            os.chmod(path, 0o755 if path == directory else 0o640)
        elif operation in ("remove", "become") and path != root:
            remove(path)
            if operation == "become":
                randomness.choice((os.mkdir, write))(path)


def remove(path: str) -> None:
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    else:
        os.unlink(path)

"""A full file system: one clear error, nothing half made, and everything works again when there is room."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from lamina.errors import NoSpace
from lamina.graphdriver import open_driver
from support.stacks import Stacks, read, write

pytestmark = pytest.mark.root


@pytest.fixture(params=["overlay2", "vfs"])
def small(request: pytest.FixtureRequest, small_file_system: Callable[..., str]) -> Stacks:
    return Stacks(open_driver(small_file_system(16, inodes=256), request.param))


def use_up_inodes(stacks: Stacks) -> str:
    """Files until there is no inode left; their directory."""
    directory = os.path.join(os.path.dirname(stacks.driver.home), "ballast")
    os.mkdir(directory)
    for number in range(os.statvfs(directory).f_ffree):
        write(f"{directory}/{number}")
    assert os.statvfs(directory).f_ffree == 0
    return directory


def give_back(directory: str, count: int | None = None) -> None:
    for name in os.listdir(directory)[:count]:
        os.unlink(f"{directory}/{name}")


def created(stacks: Stacks, base: str) -> bool:
    """Whether a layer ``new`` could be made; for want of space it may fail and for nothing else."""
    try:
        stacks.driver.create("new", base)
    except NoSpace:
        return False
    return True


def test_creating_a_layer_fails_whole_at_every_file_that_it_makes(small: Stacks) -> None:
    base = small.layer(None, lambda root: write(f"{root}/file", "kept"))
    small.driver.create("committed", base)
    small.driver.remove("committed")
    directory = use_up_inodes(small)
    failures = 0
    while not created(small, base):
        assert not small.driver.exists("new")
        assert list(small.driver.problems(frozenset({base}))) == []
        give_back(directory, 1)
        failures += 1
    assert 0 < failures < 20
    give_back(directory)
    with small.mounted("new") as root:
        assert read(f"{root}/file") == "kept"


def test_a_copy_that_does_not_fit_is_taken_back(small: Stacks) -> None:
    if small.driver.name != "vfs":
        pytest.skip("only whole trees are copied")
    base = small.layer(None, lambda root: write(f"{root}/large", "x" * (6 << 20)))
    small.driver.create("second", base)
    with pytest.raises(NoSpace, match="no space left on device"):
        small.driver.create("third", base)
    assert set(small.driver.ids()) == {base, "second"}
    small.driver.remove("second")
    small.driver.create("third", base)
    assert small.tree("third") == small.tree(base)


def test_a_container_that_fills_the_disk_can_be_unmounted_and_removed(small: Stacks) -> None:
    base = small.layer(None, lambda root: write(f"{root}/file", "kept"))
    with small.container(base) as root, pytest.raises(OSError, match="No space left"):
        write(f"{root}/large", "x" * (20 << 20))
    assert set(small.driver.ids()) == {base}
    assert small.tree(small.layer(base)) == small.tree(base)

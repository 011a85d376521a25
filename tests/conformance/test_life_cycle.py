"""Layers come and go: what moby's graphtest and containerd's snapshot suite call empty, base, snap, view, remove."""

from __future__ import annotations

import errno
import os
import threading

import pytest

from lamina.errors import Conflict, InvalidArgument, NotFound
from lamina.graphdriver import open_driver
from lamina.graphdriver.contract import DiffForm, GraphDriver
from support.stacks import Stacks, read, write


def base(root: str) -> None:
    os.mkdir(f"{root}/a subdir")
    os.chmod(f"{root}/a subdir", 0o705 | 0o1000)
    write(f"{root}/a file", "content", 0o622 | 0o4000)


def test_an_empty_layer_is_an_empty_directory(stacks: Stacks) -> None:
    layer = stacks.layer(None)
    assert stacks.driver.exists(layer)
    assert stacks.tree(layer) == {}
    with stacks.mounted(layer) as root:
        assert os.stat(root).st_mode & 0o7777 == 0o755


def test_a_snapshot_shows_what_its_base_does(stacks: Stacks) -> None:
    bottom = stacks.layer(None, base)
    assert stacks.tree(stacks.layer(bottom)) == stacks.tree(bottom)
    assert set(stacks.tree(bottom)) == {"a subdir", "a file"}


def test_ids_and_parents_are_told(stacks: Stacks) -> None:
    one = stacks.layer(None)
    two = stacks.layer(one)
    three = stacks.layer(two)
    assert set(stacks.driver.ids()) == {one, two, three}
    assert stacks.driver.parent_ids(three) == [two, one]
    assert stacks.driver.parent_ids(one) == []


def test_a_second_layer_of_one_id_is_a_conflict_and_leaves_the_first(stacks: Stacks) -> None:
    layer = stacks.layer(None, base)
    before = stacks.tree(layer)
    with pytest.raises(Conflict):
        stacks.driver.create(layer, None)
    assert stacks.tree(layer) == before


def test_a_missing_parent_is_not_found_and_leaves_nothing(driver: GraphDriver) -> None:
    with pytest.raises(NotFound):
        driver.create("child", "absent")
    assert not driver.exists("child")
    assert list(driver.ids()) == []


@pytest.mark.parametrize("layer", ["", ".", "..", "../x", "a/b", "a:b", "a,b", "a\0b", "é"])
def test_an_id_that_is_no_plain_name_is_refused(driver: GraphDriver, layer: str) -> None:
    for call in (
        driver.remove,
        driver.exists,
        driver.diff_path,
        driver.mount,
        lambda layer: driver.create(layer, None),
    ):
        with pytest.raises(InvalidArgument):
            call(layer)


def test_absent_layers_are_not_found_but_may_be_removed_and_unmounted(driver: GraphDriver) -> None:
    assert not driver.exists("absent")
    for call in (driver.mount, driver.parent_ids, driver.metadata):
        with pytest.raises(NotFound):
            call("absent")
    driver.remove("absent")
    driver.unmount("absent")
    assert not driver.is_mounted("absent")


def test_mounting_and_unmounting_twice_is_mounting_and_unmounting_once(stacks: Stacks) -> None:
    driver = stacks.driver
    layer = stacks.layer(stacks.layer(None, base))
    path = driver.mount(layer)
    assert driver.mount(layer) == path
    assert driver.is_mounted(layer) == (driver.form is not DiffForm.SNAPSHOT)
    assert read(f"{path}/a file") == "content"
    driver.unmount(layer)
    driver.unmount(layer)
    assert not driver.is_mounted(layer)


def test_removing_a_mounted_layer_unmounts_it_and_twice_is_once(stacks: Stacks) -> None:
    layer = stacks.layer(stacks.layer(None, base))
    root = stacks.driver.mount(layer)
    write(f"{root}/new")
    stacks.driver.remove(layer)
    stacks.driver.remove(layer)
    assert not stacks.driver.exists(layer)
    assert not os.path.exists(root)


def test_a_layer_in_use_can_be_removed(stacks: Stacks) -> None:
    layer = stacks.layer(stacks.layer(None, base))
    root = stacks.driver.mount(layer)
    with open(f"{root}/a file") as busy:
        stacks.driver.remove(layer)
        assert busy.read() == "content"
    assert not stacks.driver.exists(layer)


def test_removing_a_child_leaves_its_parent_and_siblings(stacks: Stacks) -> None:
    bottom = stacks.layer(None, base)
    child = stacks.layer(bottom, lambda root: os.unlink(f"{root}/a file"))
    sibling = stacks.layer(bottom, lambda root: write(f"{root}/a file", "mine"))
    stacks.driver.remove(child)
    assert stacks.tree(bottom)["a file"].content == b"content"
    assert stacks.tree(sibling)["a file"].content == b"mine"


def test_another_process_finds_and_ends_the_mount_of_one_that_died(stacks: Stacks) -> None:
    layer = stacks.layer(stacks.layer(None, base))
    root = stacks.driver.mount(layer)
    other = open_driver(os.path.dirname(stacks.driver.home), stacks.driver.name)
    assert other.is_mounted(layer) == stacks.driver.is_mounted(layer)
    assert other.mount(layer) == root
    other.unmount(layer)
    assert not stacks.driver.is_mounted(layer)


def test_threads_that_mount_one_layer_get_one_mount(stacks: Stacks) -> None:
    layer = stacks.layer(stacks.layer(None, base))
    results: list[str] = []
    threads = [threading.Thread(target=lambda: results.append(stacks.driver.mount(layer))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 8
    assert len(set(results)) == 1
    stacks.driver.unmount(layer)
    assert not stacks.driver.is_mounted(layer)


def test_a_read_only_view_refuses_writing_where_the_driver_mounts(stacks: Stacks) -> None:
    bottom = stacks.layer(None, base)
    top = stacks.layer(bottom)
    for layer in (bottom, top):
        with stacks.mounted(layer, read_only=True) as root:
            assert read(f"{root}/a file") == "content"
            if stacks.driver.form is not DiffForm.SNAPSHOT:
                with pytest.raises(OSError, match="Read-only") as caught:
                    write(f"{root}/new")
                assert caught.value.errno == errno.EROFS


def test_a_layer_can_be_written_after_it_was_viewed(stacks: Stacks) -> None:
    layer = stacks.layer(stacks.layer(None, base))
    stacks.driver.mount(layer, read_only=True)
    with stacks.mounted(layer) as root:
        write(f"{root}/new", "x")
    assert stacks.tree(layer)["new"].content == b"x"


def test_a_volatile_layer_keeps_its_content_and_mounts_again(stacks: Stacks) -> None:
    layer = stacks.new_id()
    stacks.driver.create_read_write(layer, stacks.layer(None, base))
    for number in range(3):
        with stacks.mounted(layer, volatile=True) as root:
            write(f"{root}/{number}", "x")
    stacks.driver.sync()
    with stacks.mounted(layer) as root:
        assert sorted(os.listdir(root)) == ["0", "1", "2", "a file", "a subdir"]


def test_a_stack_without_faults_has_no_problems(stacks: Stacks) -> None:
    stacks.layer(stacks.layer(None, base), lambda root: os.unlink(f"{root}/a file"))
    assert list(stacks.driver.problems(frozenset(stacks.driver.ids()))) == []


def test_what_nothing_refers_to_is_found_and_reclaimed(stacks: Stacks) -> None:
    kept = stacks.layer(None, base)
    orphan = stacks.layer(kept)
    stacks.driver.mount(orphan)
    found = list(stacks.driver.problems(frozenset({kept})))
    assert {problem.kind for problem in found} == {"orphan"}
    for problem in found:
        stacks.driver.repair(problem)
        stacks.driver.repair(problem)
    assert list(stacks.driver.ids()) == [kept]
    assert list(stacks.driver.problems(frozenset({kept}))) == []


def test_a_missing_layer_is_reported_and_can_not_be_repaired(driver: GraphDriver) -> None:
    (problem,) = driver.problems(frozenset({"absent"}))
    assert (problem.kind, problem.repairable) == ("missing", False)

"""Several processes at once on one root: work is done once, nothing is lost, nothing waits for ever."""

from __future__ import annotations

import io
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lamina.digest import DiffID
from lamina.errors import Conflict, NotFound
from lamina.image.removal import remove
from lamina.layer.contract import Layer
from support.images import LayerTar, TestImage
from support.storage import Storage, open_storage

pytestmark = pytest.mark.crash

PROCESSES = 4


def start(work: Callable[[], object]) -> int:
    """Fork a child that does ``work``; its pid. It ends with status 1 after an exception."""
    pid = os.fork()
    if not pid:
        status = 1
        try:
            work()
            status = 0
        except BaseException as error:
            os.write(2, f"{type(error).__name__}: {error}\n".encode())
        finally:
            os._exit(status)
    return pid


def wait(pids: list[int], seconds: float = 60) -> list[int]:
    """Exit statuses; whoever is not done in time is killed."""
    deadline = time.monotonic() + seconds
    statuses = {}
    while len(statuses) < len(pids):
        for pid in set(pids) - statuses.keys():
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                statuses[pid] = os.waitstatus_to_exitcode(status)
            elif time.monotonic() > deadline:
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.005)
    return [statuses[pid] for pid in pids]


def image(*names: str) -> TestImage:
    """Layers named after their content, so that images share what they have in common from the bottom up."""
    return TestImage([LayerTar().file(name, name * 1000).bytes() for name in names])


IMAGES = {"one": image("a", "b", "c"), "two": image("a", "b", "d"), "three": image("a", "e"), "four": image("a", "b")}


def add_and_remove(path: str, driver: str, number: int) -> None:
    chance = random.Random(number)
    storage = open_storage(path, driver)
    for _ in range(12):
        name = chance.choice(list(IMAGES))
        if chance.random() < 0.6:
            storage.add(IMAGES[name], name)
        else:
            try:
                remove(storage.images, storage.layers, name)
            except (NotFound, Conflict):
                continue


@pytest.mark.parametrize("driver", [pytest.param("overlay2", marks=pytest.mark.root), "vfs"])
def test_adding_and_removing_the_same_images_loses_nothing(driver: str, tmp_path: Path) -> None:
    path = str(tmp_path / "root")
    open_storage(path, driver)
    pids = [start(lambda number=number: add_and_remove(path, driver, number)) for number in range(PROCESSES)]
    assert wait(pids) == [0] * PROCESSES
    storage = open_storage(path, driver)
    assert storage.findings(deep=True) == []
    for name, id in storage.names().items():
        assert id == IMAGES[name.removesuffix(":latest")].image_id
        stored = storage.images.resolve(name)
        tars = [b"".join(storage.layers.tar(layer)) for layer in storage.layers.stack(stored.config.chain_id)]
        assert tars == IMAGES[name.removesuffix(":latest")].layers


def fill_once(storage: Storage, log: str) -> None:
    """Add an image, and write a line for each layer that was filled here."""
    with storage.layers.begin() as transaction:
        below = None
        for tar, diff_id in zip(IMAGES["one"].layers, IMAGES["one"].diff_ids, strict=True):
            below = transaction.claim(DiffID(diff_id), below)
            if not isinstance(below, Layer):
                with open(log, "a") as file:
                    file.write(f"{diff_id}\n")
                below.fill_from(io.BytesIO(tar))
                time.sleep(0.05)
        transaction.commit()
        storage.images.create(IMAGES["one"].config.data)


def test_a_layer_that_two_want_is_filled_once(tmp_path: Path) -> None:
    storage = open_storage(str(tmp_path / "root"), "vfs")
    log = str(tmp_path / "log")
    assert wait([start(lambda: fill_once(storage.again(), log)) for _ in range(PROCESSES)]) == [0] * PROCESSES
    assert sorted(Path(log).read_text().split()) == sorted(IMAGES["one"].diff_ids)


def test_who_waits_for_a_killed_process_does_its_work(tmp_path: Path) -> None:
    storage = open_storage(str(tmp_path / "root"), "vfs")

    def claim_and_stop() -> None:
        with storage.again().layers.begin() as transaction:
            transaction.claim(DiffID(IMAGES["one"].diff_ids[0]), None)
            signal.pause()

    first = start(claim_and_stop)
    locks = storage.root.sub("lamina/locks/layers")
    while not (os.path.isdir(locks) and os.listdir(locks)):
        time.sleep(0.005)
    second = start(lambda: storage.again().add(IMAGES["one"], "one"))
    time.sleep(0.1)
    assert os.waitpid(second, os.WNOHANG) == (0, 0), "it should wait"
    os.kill(first, signal.SIGKILL)
    assert wait([first, second]) == [-signal.SIGKILL, 0]
    assert storage.again().findings(deep=True) == []


def test_a_layer_in_use_by_a_transaction_is_not_released(tmp_path: Path) -> None:
    storage = open_storage(str(tmp_path / "root"), "vfs")
    storage.add(IMAGES["one"], "one")
    other = storage.again()
    with storage.layers.begin() as transaction:
        top = storage.layers.stack(storage.images.resolve("one").config.chain_id)[-1]
        staged = transaction.stage(top)
        assert remove(other.images, other.layers, "one")
        assert len(list(other.layers.all())) == 3
        staged.fill_from(io.BytesIO(LayerTar().file("new", "new").bytes()))
        transaction.commit()
    assert len(other.layers.release(frozenset())) == 4

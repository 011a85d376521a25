"""Which driver a data root uses, and why."""

from __future__ import annotations

import os

from lamina.graphdriver.contract import GraphDriver
from lamina.graphdriver.failure import DriverUnavailable
from lamina.graphdriver.overlay2 import Overlay2Driver
from lamina.owners import SAME, Owners
from lamina.typing import NamedTuple

#: Drivers by Docker's name, preferred first.
DRIVERS = ("overlay2", "fuse-overlayfs", "vfs", "aufs")

#: Other words for them.
ALIASES = {"fuse": "fuse-overlayfs"}

#: Those that keep files with other owners than containers see.
_MAPPING = ("overlay2", "vfs")

#: Only for roots that have it already, or when asked for by name.
_NEVER_FIRST = frozenset({"aufs"})

#: How the name of a directory begins in which overlayfs is tried, as dockerd names it.
PROBE_PREFIX = "check-overlayfs-support"


class Choice(NamedTuple):
    """One driver as seen from a data root.

    :ivar chosen: whether :func:`open_driver` takes it; at most one is.
    :ivar reason: one line for a person: why it is chosen, or why not.
    """

    name: str
    chosen: bool
    reason: str


def open_driver(root: str, name: str | None = None, owners: Owners = SAME) -> GraphDriver:
    """The driver ``name`` on the data root ``root``; without a name the one that :func:`explain` chooses.

    :param owners: who owns its files for those who own them in containers.

    Writes nothing but a short-lived probe on a root without layers. Raises ``DriverUnavailable``: an unknown name,
    a host that can't do it, or images of a driver that is none of ours.
    """
    choices = explain(root, name)
    name = ALIASES.get(name or "", name)
    for choice in choices:
        if choice.chosen:
            return _driver(choice.name, root, owners)
    wanted = [choice for choice in choices if name in (None, choice.name)]
    raise DriverUnavailable("; ".join(f"storage driver {choice.name}: {choice.reason}" for choice in wanted))


def _driver(name: str, root: str, owners: Owners) -> GraphDriver:
    if owners.are_mapped and name not in _MAPPING:
        raise DriverUnavailable(f"storage driver {name}: userns-remap needs one of {', '.join(_MAPPING)}")
    # Most commands need overlay2 and no union file system of ours: imported only where it is chosen.
    if name == "fuse-overlayfs":
        from lamina.graphdriver.fuse import FuseDriver

        return FuseDriver(root)
    if name == "aufs":
        from lamina.graphdriver.aufs import AufsDriver

        return AufsDriver(root)
    if name == "vfs":
        from lamina.graphdriver.vfs import VfsDriver

        return VfsDriver(root, owners)
    return Overlay2Driver(root, owners)


def explain(root: str, name: str | None = None) -> list[Choice]:
    """Every driver with the reason for or against it, the chosen one among them.

    A driver that is asked for by ``name`` is taken or nothing is. Else the root's images decide: they are visible
    through the driver that stored them and no other. A root without images gets the first driver that works.
    """
    if name is not None:
        return _asked_for(root, ALIASES.get(name, name))
    prior = [driver for driver in _prior_drivers(root) if driver in DRIVERS]
    foreign = [driver for driver in _prior_drivers(root) if driver not in DRIVERS]
    if not prior and foreign:
        return [
            Choice(driver, False, f"not supported by lamina, but {root} holds its images; name one of {_names()}")
            for driver in foreign
        ]
    wanted = next((driver for driver in DRIVERS if driver in prior), None)
    choices: list[Choice] = []
    for driver in DRIVERS:
        choices.append(_judged(root, driver, wanted, any(choice.chosen for choice in choices)))
    return choices


def _asked_for(root: str, name: str) -> list[Choice]:
    if name not in DRIVERS:
        return [Choice(name, False, f"not supported; this version has {_names()}")]
    obstacle = _obstacle(root, name)
    asked = Choice(name, obstacle is None, obstacle or "asked for by name")
    return [asked, *(Choice(other, False, f"{name} is asked for") for other in DRIVERS if other != name)]


def _judged(root: str, name: str, wanted: str | None, taken: bool) -> Choice:
    if wanted is not None:
        if name != wanted:
            return Choice(name, False, f"the root's images are in {wanted}")
        obstacle = _obstacle(root, name)
        return Choice(name, obstacle is None, obstacle or "the root has images in it")
    if name in _NEVER_FIRST:
        return Choice(name, False, "only for roots that have images in it, or by name")
    if taken:
        return Choice(name, False, "a better one works")
    obstacle = _obstacle(root, name)
    return Choice(name, obstacle is None, obstacle or "the first that works here")


def _names() -> str:
    return ", ".join(DRIVERS)


def _prior_drivers(root: str) -> list[str]:
    """Names under ``image/`` with layers or images in them."""
    try:
        names = sorted(os.listdir(f"{root}/image"))
    except OSError:
        return []
    return [name for name in names if _has_content(f"{root}/image/{name}")]


def _has_content(store: str) -> bool:
    for folder in ("imagedb/content/sha256", "layerdb/sha256", "layerdb/mounts"):
        try:
            with os.scandir(f"{store}/{folder}") as entries:
                if next(entries, None) is not None:
                    return True
        except OSError:
            continue
    return False


def _obstacle(root: str, name: str) -> str | None:
    """Why the driver can't work here; ``None`` when it can."""
    if name in ("fuse-overlayfs", "aufs"):
        return _fuse_obstacle()
    if name != "overlay2" or _holds_layers(f"{root}/overlay2"):
        return None
    try:
        return _overlay_obstacle(root)
    except OSError as error:
        return f"overlayfs can't be mounted on {root}: {error.strerror or error}"


def _fuse_obstacle() -> str | None:
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return f"/dev/fuse can't be used: {error.strerror}"
    return None if os.geteuid() == 0 else "mounting for a container needs root"


def _holds_layers(home: str) -> bool:
    """Whether the driver was used here before: then it works, and no probe is needed."""
    try:
        with os.scandir(f"{home}/l") as entries:
            return next(entries, None) is not None
    except OSError:
        return False


def _overlay_obstacle(root: str) -> str | None:
    """Try it: an overlay on the root's file system that is attached nowhere."""
    from lamina.graphdriver import overlayfs  # only for roots without layers
    from lamina.graphdriver.removal import remove_tree
    from lamina.linux import files

    if not files.supports_d_type(root):
        return f"the file system of {root} ({files.file_system_name(root)}) has no d_type; make it again with ftype=1"
    probe = os.path.join(root, f"{PROBE_PREFIX}{os.getpid()}{os.urandom(4).hex()}")
    os.mkdir(probe, 0o700)
    try:
        for directory in ("lower1", "lower2", "upper", "work", "merged"):
            os.mkdir(f"{probe}/{directory}", 0o700)
        overlayfs.probe(overlayfs.Overlay(probe, ["lower2", "lower1"], "upper", "work"), f"{probe}/merged")
    finally:
        remove_tree(probe)
    return None

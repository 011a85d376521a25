"""Making a few names in a new layer's ``diff`` as the kernel would in the mounted layer, without mounting it.

What may be below is looked up in the layers' directories by the rules of overlayfs (Documentation/filesystems/
overlayfs.rst): directories of one name are merged from the top down to one that is opaque; a whiteout hides what is
below it. Wherever that leaves more to do than to make a name, or to repeat a directory with its owner, mode and
attributes, the mount is left to do it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence

from lamina.graphdriver.contract import Skeleton
from lamina.typing import NamedTuple

#: Attributes that are overlayfs's own, as the kernel's root and an ordinary user's mounts have them.
_PRIVATE = ("trusted.overlay.", "user.overlay.")
_OPAQUE = "opaque"
#: Private attributes of directories that change nothing about what is seen.
_HARMLESS = (_OPAQUE, "origin", "impure", "uuid")
_MODE = 0o755


class _Unclear(Exception):
    """The kernel knows better."""


class _Directory(NamedTuple):
    """A directory as it is seen in the layers below.

    :ivar places: host paths of those that are merged, topmost first; none where there is no such directory.
    """

    places: Sequence[str]


def prefill(diff: str, lowers: Sequence[str], skeleton: Skeleton) -> bool:
    """See :meth:`lamina.graphdriver.contract.Prefilling.prefill`. Raises :class:`OSError`.

    :param diff: host path of the new layer's directory, which is empty.
    :param lowers: host paths of those below, topmost first.
    """
    below = {"": _Directory(lowers)}
    try:
        directories = [name for name in skeleton.directories if not _directory(below, name).places]
        others = [name for name in (*skeleton.files, *(name for name, _ in skeleton.links)) if _is_made(below, name)]
    except _Unclear:
        return False
    made: set[str] = set()
    for name in directories:
        _make_directory(diff, name, below, made, skeleton.owner)
    for name in others:
        _make_directory(diff, os.path.dirname(name), below, made, skeleton.owner)
    targets = dict(skeleton.links)
    for name in others:
        path = f"{diff}/{name}"
        if name in targets:
            os.symlink(targets[name], path)
        else:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE))
        _give(path, skeleton.owner)
    return True


def _directory(below: dict[str, _Directory], name: str) -> _Directory:
    """What is below of the directory ``name``. Raises :class:`_Unclear`."""
    if name not in below:
        parent = _directory(below, os.path.dirname(name))
        below[name] = _Directory(_merged([f"{place}/{os.path.basename(name)}" for place in parent.places]))
    return below[name]


def _merged(candidates: Sequence[str]) -> list[str]:
    places: list[str] = []
    for path in candidates:
        found = _status(path)
        if found is None:
            continue
        if not stat.S_ISDIR(found.st_mode):
            if places:
                break  # it is hidden, and hides what is below
            raise _Unclear
        places.append(path)
        private = [name.rpartition(".")[2] for name in _attributes(path) if name.startswith(_PRIVATE)]
        if any(name not in _HARMLESS for name in private):
            raise _Unclear
        if _OPAQUE in private:
            break
    return places


def _is_made(below: dict[str, _Directory], name: str) -> bool:
    """Whether a file or link of that name is to be made: not where a directory is below."""
    parent, _, last = name.rpartition("/")
    for place in _directory(below, parent).places:
        found = _status(f"{place}/{last}")
        if found is not None:
            return not stat.S_ISDIR(found.st_mode)
    return True


def _make_directory(
    diff: str, name: str, below: dict[str, _Directory], made: set[str], owner: tuple[int, int] | None
) -> None:
    """Make ``name``, and what leads there, as what is below is."""
    if not name or name in made:
        return
    _make_directory(diff, os.path.dirname(name), below, made, owner)
    path = f"{diff}/{name}"
    os.mkdir(path, _MODE)
    os.chmod(path, _MODE)  # whatever the umask
    made.add(name)
    places = below[name].places
    if places:
        _resemble(path, places[0])
    else:
        _give(path, owner)


def _resemble(path: str, model: str) -> None:
    found = os.lstat(model)
    os.lchown(path, found.st_uid, found.st_gid)
    for name in _attributes(model):
        if not name.startswith(_PRIVATE):
            os.setxattr(path, name, os.getxattr(model, name, follow_symlinks=False), follow_symlinks=False)
    os.chmod(path, stat.S_IMODE(found.st_mode))


def _give(path: str, owner: tuple[int, int] | None) -> None:
    if owner is not None:
        os.lchown(path, *owner)


def _status(path: str) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except FileNotFoundError:
        return None


def _attributes(path: str) -> list[str]:
    return os.listxattr(path, follow_symlinks=False)

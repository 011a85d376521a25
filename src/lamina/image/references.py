"""``repositories.json``: what names point at which images.

Docker's form, one JSON object without white space, keys sorted; familiar names, a key for each tag or digest::

    {"Repositories":{"alpine":{"alpine:3.20":"sha256:...","alpine@sha256:...":"sha256:..."}}}
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence

from lamina import atomicfile, json
from lamina.contextlib import AbstractContextManager
from lamina.dataroot import DataRoot
from lamina.digest import Digest, ImageID, InvalidDigest
from lamina.errors import TELLS_MORE, Corrupt, InvalidArgument, NotFound
from lamina.layer.failure import space_checked
from lamina.reference import DEFAULT_DOMAIN, Reference

#: Most bytes of the file that are believed: about a million names.
_LIMIT = 256 << 20

#: How often names of one image are looked for before an index pays.
_FEW = 3

_Repositories = dict[str, dict[str, str]]


class DamagedReferences(Corrupt):
    """``repositories.json`` is not what Docker writes."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"{path} is damaged: {why}{TELLS_MORE}")


class ReferenceNotFound(NotFound):
    """No image has this name."""

    def __init__(self, reference: Reference) -> None:
        super().__init__(f"reference does not exist: {reference.familiar}")


class InvalidTag(InvalidArgument):
    """The name can't be given to an image."""


class FileReferenceStore:
    """See :class:`lamina.image.contract.ReferenceStore`.

    :param lock: the store-wide lock, held while the file is read, changed and replaced.
    :param require: raises ``NotFound`` for an image that does not exist; a name must never point at one.
    """

    def __init__(
        self,
        root: DataRoot,
        lock: Callable[[], AbstractContextManager[None]],
        require: Callable[[ImageID], object],
    ) -> None:
        self._require = require
        self.path = root.store("repositories.json")
        self._root = root
        self._lock = lock
        self._version: tuple[int, int, int] | None = None
        self._repositories: _Repositories = {}
        self._by_image: dict[str, list[tuple[str, str]]] = {}
        self._asked = 0

    def get(self, reference: Reference) -> ImageID:
        key = _lookup_key(reference)
        text = self._read().get(reference.familiar_name, {}).get(key)
        if text is None:
            raise ReferenceNotFound(reference)
        return self._image_id(text)

    def add(self, reference: Reference, id: ImageID) -> ImageID | None:
        """See the contract. Without tag and digest, ``:latest`` is meant. Raises :class:`InvalidTag`."""
        return self.add_all([reference], id)[0]

    def add_all(self, references: Sequence[Reference], id: ImageID) -> list[ImageID | None]:
        """Point several names at ``id`` in one step; for each what :meth:`add` returns.

        :raises InvalidTag: one can't be a name. :raises NotFound: there is no such image.
        """
        for reference in references:
            if reference.familiar_name == "sha256":
                raise InvalidTag("refusing to create an ambiguous tag using digest algorithm as name")
        before: list[ImageID | None] = []
        with self._changing() as repositories:
            self._require(id)
            changed = dict(repositories)
            for reference in references:
                name, key = reference.familiar_name, _lookup_key(reference)
                keys = dict(changed.get(name, {}))
                old = keys.get(key)
                before.append(self._image_id(old) if old is not None and old != id else None)
                keys[key] = str(id)
                changed[name] = keys
            if changed != repositories:
                self._write(changed)
        return before

    def remove(self, reference: Reference) -> bool:
        name, key = reference.familiar_name, _lookup_key(reference)
        with self._changing() as repositories:
            keys = dict(repositories.get(name, {}))
            if keys.pop(key, None) is None:
                return False
            changed = {**repositories, name: keys}
            if not keys:
                del changed[name]
            self._write(changed)
        return True

    def of(self, id: ImageID) -> list[Reference]:
        repositories = self._read()
        self._asked += 1
        if self._asked <= _FEW:
            entries = [(name, key) for name, keys in repositories.items() for key, text in keys.items() if text == id]
        else:
            entries = self._index().get(id, [])
        return sorted((reference for entry in entries if (reference := _reference(*entry))), key=str)

    def _index(self) -> dict[str, list[tuple[str, str]]]:
        """Names by image, made when it is asked for often."""
        if not self._by_image:
            for name, keys in self._repositories.items():
                for key, text in keys.items():
                    self._by_image.setdefault(text, []).append((name, key))
        return self._by_image

    def all(self) -> dict[Reference, ImageID]:
        ids: dict[str, ImageID] = {}
        found: dict[Reference, ImageID] = {}
        for name, keys in self._read().items():
            for key, text in keys.items():
                reference = _reference(name, key)
                if reference is not None:
                    found[reference] = ids.get(text) or ids.setdefault(text, self._image_id(text))
        return found

    def by_image(self) -> Mapping[str, Sequence[str]]:
        """See the contract. Nothing is parsed: keys are the familiar form already."""
        found: dict[str, list[str]] = {}
        several = set()
        for name, keys in self._read().items():
            length = len(name)
            for key, text in keys.items():
                mark = key[length : length + 1]
                if mark != ":" and _reference(name, key) is None:
                    continue
                if not key.startswith(name) or len(key) < length + 2:
                    continue
                if text in found:
                    found[text].append(key)
                    several.add(text)
                else:
                    found[text] = [key]
        for text in several:
            found[text].sort(key=_canonical)
        return found

    def image_ids(self) -> set[str]:
        """Every image that some name points at."""
        return {text for keys in self._read().values() for text in keys.values()}

    def malformed(self) -> list[str]:
        """Keys that are no references, or do not belong to their repository."""
        return [key for name, keys in self._read().items() for key in keys if _reference(name, key) is None]

    def forget(self, keys: list[str]) -> None:
        """Remove entries by their key, malformed ones too."""
        unwanted = frozenset(keys)
        with self._changing() as repositories:
            kept = {
                name: {key: text for key, text in entries.items() if key not in unwanted}
                for name, entries in repositories.items()
            }
            self._write({name: entries for name, entries in kept.items() if entries})

    def replace(self) -> None:
        """Start anew, without any name. What a damaged file held can't be told any more."""
        with self._lock(), space_checked(self._root.path):
            self._write({})

    def _changing(self) -> AbstractContextManager[_Repositories]:
        from lamina.contextlib import contextmanager

        @contextmanager
        def changing() -> Iterator[_Repositories]:
            with self._lock(), space_checked(self._root.path):
                yield self._read()

        return changing()

    def _read(self) -> _Repositories:
        """The file's content; parsed again only when the file has changed. Treat it as read-only."""
        try:
            status = os.stat(self.path)
        except FileNotFoundError:
            self._version, self._repositories, self._by_image = None, {}, {}
            return self._repositories
        version = (status.st_ino, status.st_mtime_ns, status.st_size)
        if version != self._version:
            self._repositories = self._parse()
            self._by_image = {}
            self._version = version
        return self._repositories

    def _parse(self) -> _Repositories:
        with open(self.path, "rb") as file:
            raw = file.read(_LIMIT + 1)
        try:
            document = json.loads(raw)
        except (ValueError, RecursionError) as error:
            raise DamagedReferences(self.path, str(error)) from error
        if not isinstance(document, dict):
            raise DamagedReferences(self.path, "not a JSON object")
        repositories = document.get("Repositories")
        if repositories is None:
            return {}
        if not isinstance(repositories, dict) or not all(
            isinstance(keys, dict) and all(isinstance(text, str) for text in keys.values())
            for keys in repositories.values()
        ):
            raise DamagedReferences(self.path, "'Repositories' is not an object of objects of strings")
        return repositories

    def _write(self, repositories: _Repositories) -> None:
        document = {"Repositories": repositories}
        text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        atomicfile.write(self.path, text.encode())
        self._version = None

    def _image_id(self, text: str) -> ImageID:
        try:
            return ImageID(text)
        except InvalidDigest as error:
            raise DamagedReferences(self.path, f"{text!r} is not an image ID") from error


def _canonical(key: str) -> str:
    """A key with the domain and path that it leaves out, by which names are sorted."""
    digest = "@" in key
    name = key.rpartition("@" if digest else ":")[0]
    return str(_reference(name, key) or key)


def _lookup_key(reference: Reference) -> str:
    """The key of a reference: with tag and digest, the digest decides."""
    if reference.digest is not None:
        return f"{reference.familiar_name}@{reference.digest}"
    return f"{reference.familiar_name}:{reference.tagged().tag}"


def _reference(name: str, key: str) -> Reference | None:
    """The reference of one entry, or ``None`` when the key does not belong to the name.

    Written by Docker or by this module, so it is taken apart, not checked against the grammar.
    """
    mark, suffix = key[len(name) : len(name) + 1], key[len(name) + 1 :]
    if not key.startswith(name) or not suffix:
        return None
    first, slash, rest = name.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost" or first != first.lower()):
        domain, path = first, rest
    else:
        domain, path = DEFAULT_DOMAIN, name if slash else f"library/{name}"
    if mark == ":":
        return Reference(domain, path, suffix)
    try:
        return Reference(domain, path, None, Digest(suffix)) if mark == "@" else None
    except InvalidDigest:
        return None

"""``--verify``: what differs between two images that were built from the same Dockerfile, file by file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from lamina.digest import DiffID, hasher
from lamina.image.contract import Image
from lamina.layer.contract import Layer, LayerStore
from lamina.oci import timestamp
from lamina.tarball import header as tar
from lamina.tarball.reader import TarReader
from lamina.typing import Any, NamedTuple

_KINDS = {
    tar.REGULAR: "a file",
    tar.HARD_LINK: "a hard link",
    tar.SYMLINK: "a symbolic link",
    tar.CHARACTER: "a character device",
    tar.BLOCK_DEVICE: "a block device",
    tar.DIRECTORY: "a directory",
    tar.FIFO: "a named pipe",
}


class Difference(NamedTuple):
    """One thing that is not the same.

    :ivar where: ``configuration``, ``history 3 (RUN make)``, ``layer 2 (RUN make)``.
    :ivar path: of a file in a layer; ``""`` elsewhere.
    :ivar what: in words: ``time 2020-01-01T00:00:00Z and 2020-01-01T00:00:01Z``.
    """

    where: str
    path: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.path}: {self.what}" if self.path else f"{self.where}: {self.what}"


class _File(NamedTuple):
    """An entry of a layer; ``content`` is the digest of a file's."""

    header: tar.Header
    content: str


def differences(one: Image, two: Image, layers: LayerStore) -> list[Difference]:
    """All of them; none when the images are the same."""
    if one.id == two.id:
        return []
    found = list(_of_documents("configuration", one.config.document, two.config.document))
    histories = [image.config.document.get("history") or [] for image in (one, two)]
    for number, (first, second) in enumerate(zip(*histories, strict=False), 1):
        found += _of_documents(f"history {number} ({_told(first)})", first, second)
    if len(histories[0]) != len(histories[1]):
        found.append(Difference("history", "", f"{len(histories[0])} and {len(histories[1])} entries"))
    if len(one.config.diff_ids) != len(two.config.diff_ids):
        found.append(Difference("layers", "", f"{len(one.config.diff_ids)} and {len(two.config.diff_ids)}"))
    stacks = [layers.stack(image.config.chain_id) for image in (one, two)]
    names = _names(histories[0])
    for number, (left, right) in enumerate(zip(*stacks, strict=False), 1):
        if left.diff_id != right.diff_id:
            name = f"layer {number} ({names[number - 1]})" if number <= len(names) else f"layer {number}"
            found += _of_layers(name, left, right, layers)
    return found


def _names(history: list[dict[str, Any]]) -> list[str]:
    """What made each layer."""
    return [_told(entry) for entry in history if not entry.get("empty_layer")]


def _told(entry: dict[str, Any]) -> str:
    text = str(entry.get("created_by") or "").removeprefix("/bin/sh -c ").removeprefix("#(nop) ").strip()
    return text if len(text) <= 60 else text[:59] + "\u2026"


def _of_documents(where: str, one: dict[str, Any], two: dict[str, Any]) -> Iterator[Difference]:
    for name in sorted({*one, *two} - {"history", "rootfs"}):
        if one.get(name) != two.get(name):
            yield Difference(where, "", f"{name} {one.get(name)!r} and {two.get(name)!r}")


def _of_layers(where: str, one: Layer, two: Layer, layers: LayerStore) -> Iterator[Difference]:
    before, after = (_files(layers.tar(layer)) for layer in (one, two))
    told = False
    for path in sorted({*before, *after}):
        shown = "/" + path.decode("utf-8", "backslashreplace")
        if path not in after:
            whats: Iterable[str] = ["only in the first"]
        elif path not in before:
            whats = ["only in the second"]
        else:
            whats = _of_files(before[path], after[path])
        for what in whats:
            told = True
            yield Difference(where, shown, what)
    if not told:
        yield Difference(where, "", f"the archive itself: {_short(one.diff_id)} and {_short(two.diff_id)}")


def _short(diff_id: DiffID) -> str:
    return diff_id.hex[:12]


def _files(tar_: Iterable[bytes]) -> dict[bytes, _File]:
    reader = TarReader(tar_)
    found = {}
    for header in reader:
        seen = hasher("sha256")
        for piece in reader.pieces():
            seen.update(piece)
        found[header.name.strip(b"/")] = _File(header, seen.hexdigest())
    return found


def _of_files(one: _File, two: _File) -> Iterator[str]:
    a, b = one.header, two.header
    if a.kind != b.kind:
        yield f"{_KINDS.get(a.kind, 'something')} and {_KINDS.get(b.kind, 'something')}"
        return
    if a.mode != b.mode:
        yield f"mode {a.mode:04o} and {b.mode:04o}"
    if (a.uid, a.gid) != (b.uid, b.gid):
        yield f"owner {a.uid}:{a.gid} and {b.uid}:{b.gid}"
    if a.mtime != b.mtime:
        yield f"time {timestamp.text(a.mtime)} and {timestamp.text(b.mtime)}"
    if a.size != b.size:
        yield f"size {a.size} and {b.size}"
    elif one.content != two.content:
        yield f"content sha256:{one.content[:12]} and sha256:{two.content[:12]}"
    if a.linkname != b.linkname:
        yield f"link to {_text(a.linkname)} and to {_text(b.linkname)}"
    if (a.major, a.minor) != (b.major, b.minor):
        yield f"device {a.major}:{a.minor} and {b.major}:{b.minor}"
    for name in sorted({*(a.xattrs or {}), *(b.xattrs or {})}):
        if (a.xattrs or {}).get(name) != (b.xattrs or {}).get(name):
            yield f"extended attribute {_text(name)}"


def _text(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace")

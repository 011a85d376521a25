"""The text of ``-o``: overlayfs's option grammar to :class:`MountOptions`, and back.

Options are separated by commas. In a value a backslash takes the next character's meaning away: ``\\,`` is a comma,
``\\:`` a colon in ``lowerdir``, ``\\\\`` a backslash (Linux ``fs/overlayfs/params.c``, ``ovl_parse_layer``). An option
that means nothing here is refused with the reason, except those that every ``mount`` brings along.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

from lamina.errors import InvalidArgument, Unsupported
from lamina.typing import Any
from lamina.unionfs.options import MAX_LOWERS, Dialect, IdRange, MountOptions

#: User and group numbers are smaller; the largest 32-bit number means "unchanged".
_ID_LIMIT = (1 << 32) - 1

#: Flags of every mount that change what it allows (``mount(8)``); "rw" and "ro" apart.
MOUNT_FLAGS = frozenset(
    (
        "nosuid",
        "nodev",
        "noexec",
        "noatime",
        "nodiratime",
        "relatime",
        "strictatime",
        "sync",
        "dirsync",
        "nosymfollow",
        "lazytime",
    )
)

#: Words of ``/etc/fstab`` and of mount programs that ask for what is so already, or concern others than us.
_IGNORED = frozenset(
    (
        "defaults",
        "rw",
        "suid",
        "dev",
        "exec",
        "async",
        "atime",
        "diratime",
        "norelatime",
        "nostrictatime",
        "nolazytime",
        "auto",
        "noauto",
        "user",
        "nouser",
        "users",
        "owner",
        "group",
        "nofail",
        "_netdev",
        "default_permissions",
        "nonempty",
    )
)
_IGNORED_PREFIXES = ("x-", "X-", "comment=", "context=", "fsname=", "subtype=")

#: Words that only exist for others, with what to say.
_REFUSED = {
    "default_permissions=off": "the kernel always checks permissions here",
    "datadir+": "there are no data-only layers here: make it a lowerdir",
    "verity": "fs-verity digests are not compared",
    "uuid": "a FUSE mount has no UUID of its own",
    "xattr_permissions": "owners and modes are those of the files themselves, never of an attribute",
    "br": "AUFS's branch option: use lowerdir, upperdir and dialect=aufs",
    "dirs": "AUFS's branch option: use lowerdir, upperdir and dialect=aufs",
}


def parse(text: str, *, source: str | None = None) -> MountOptions:
    """What ``text`` says. Whether the directories exist is found out by whoever uses it.

    Raises ``InvalidArgument`` for what does not parse and ``Unsupported`` for what parses and can't be done, either
    naming the option.
    """
    found: dict[str, Any] = {"lowerdirs": (), "flags": ()}
    for word in words(text):
        _apply(found, word)
    if source:
        found["source"] = source
    if len(found["lowerdirs"]) > MAX_LOWERS:
        raise InvalidArgument(f"too many lower directories, limit is {MAX_LOWERS}")
    return MountOptions(**found)


def words(text: str) -> list[str]:
    """The options in ``text``, one by one and with their escapes."""
    return [word for word in _split(text, ",") if word]


def format(options: MountOptions) -> str:
    """The shortest text that :func:`parse` reads as ``options``, but for the source."""
    found = []
    if options.lowerdirs:
        found.append("lowerdir=" + ":".join(_escape(path, ",:\\") for path in options.lowerdirs))
    if options.upperdir is not None:
        found.append("upperdir=" + _escape(options.upperdir, ",\\"))
    if options.workdir is not None:
        found.append("workdir=" + _escape(options.workdir, ",\\"))
    found += _switches(options)
    return ",".join([*found, *options.flags])


def absolute(options: MountOptions) -> MountOptions:
    """The same with directories that mean the same everywhere."""

    def full(path: str | None) -> str | None:
        return None if path is None else os.path.abspath(path)

    return options._replace(
        lowerdirs=tuple(os.path.abspath(path) for path in options.lowerdirs),
        upperdir=full(options.upperdir),
        workdir=full(options.workdir),
    )


def _switches(options: MountOptions) -> Iterator[str]:
    default = MountOptions(())
    if options.read_only:
        yield "ro"
    for name in ("volatile", "writeback"):
        if getattr(options, name):
            yield name
    if options.userxattr:
        yield "userxattr"
    if options.allow_other is not None:
        yield "allow_other" if options.allow_other else "allow_other=off"
    for name in ("redirect_dir", "xino"):
        if getattr(options, name) != getattr(default, name):
            yield f"{name}={getattr(options, name)}"
    for name, key in (("metacopy", "metacopy"), ("inode_index", "index")):
        if getattr(options, name):
            yield f"{key}=on"
    if options.dialect is not Dialect.OVERLAY:
        yield f"dialect={options.dialect.value}"
    yield from _owner_switches(options)
    for name in ("noxattrs", "static_nlink"):
        if getattr(options, name):
            yield name
    if not options.passthrough:
        yield "passthrough=off"


def _owner_switches(options: MountOptions) -> Iterator[str]:
    if options.squash_uid is not None:
        yield f"squash_to_uid={options.squash_uid}"
    if options.squash_gid is not None:
        yield f"squash_to_gid={options.squash_gid}"
    for key, ranges in (("uidmapping", options.uid_mapping), ("gidmapping", options.gid_mapping)):
        if ranges:
            yield f"{key}=" + ":".join(str(number) for numbers in ranges for number in numbers)


def _apply(found: dict[str, Any], word: str) -> None:
    key, equals, raw = word.partition("=")
    if key in MOUNT_FLAGS and not equals:
        found["flags"] = (*found["flags"], key)
    elif key == "lowerdir+":
        found["lowerdirs"] = (*found["lowerdirs"], _path(key, raw))
    elif key == "squash_to_root":
        if _switch(key, raw if equals else None):
            found.setdefault("squash_uid", 0)
            found.setdefault("squash_gid", 0)
    elif key in _OPTIONS:
        field, read = _OPTIONS[key]
        found[field] = read(key, raw if equals else None)
    elif key in _IGNORED or word.startswith(_IGNORED_PREFIXES):
        return
    elif word in _REFUSED or key in _REFUSED:
        raise Unsupported(f"option {word!r}: {_REFUSED.get(word) or _REFUSED[key]}")
    else:
        raise InvalidArgument(f"unknown option {word!r}")


def _path(key: str, raw: str | None) -> str:
    if not raw:
        raise InvalidArgument(f"option {key!r} needs a directory")
    return _unescape(raw)


def lower_directories(value: str) -> tuple[str, ...]:
    """The directories in the value of ``lowerdir``, top first. Raises as :func:`parse` does."""
    return _paths("lowerdir", value)


def _paths(key: str, raw: str | None) -> tuple[str, ...]:
    if not raw:
        raise InvalidArgument(f"option {key!r} needs a directory")
    parts = list(_split(raw, ":"))
    if "" in parts:
        if "::" in raw and not raw.startswith(":"):
            raise Unsupported(f"option '{key}={raw}': {_REFUSED['datadir+']}")
        raise InvalidArgument(f"option '{key}={raw}' has an empty directory name; write \\: for a colon in a name")
    return tuple(_unescape(part) for part in parts)


def _switch(key: str, raw: str | None) -> bool:
    """``volatile``, and ``on``/``off`` where the kernel or a mount program writes that."""
    if raw in (None, "on", "1", "true", "yes"):
        return True
    if raw in ("off", "0", "false", "no"):
        return False
    raise InvalidArgument(f"option '{key}={raw}': must be on or off")


def _chosen(*values: str) -> Callable[[str, str | None], str]:
    def read(key: str, raw: str | None) -> str:
        if raw not in values:
            given = key if raw is None else f"{key}={raw}"
            raise InvalidArgument(f"option {given!r}: must be {', '.join(values[:-1])} or {values[-1]}")
        return raw

    return read


def _refused_when_on(reason: str) -> Callable[[str, str | None], bool]:
    def read(key: str, raw: str | None) -> bool:
        if raw is not None and _switch(key, raw):
            raise Unsupported(f"option '{key}={raw}': {reason}")
        if raw is None:
            raise InvalidArgument(f"option {key!r}: must be on or off")
        return False

    return read


def _dialect(key: str, raw: str | None) -> Dialect:
    return Dialect(_chosen("overlay", "aufs", "fuse-overlayfs")(key, raw))


def _never_synchronized(key: str, raw: str | None) -> bool:
    return not _switch(key, raw)


def _number(key: str, raw: str | None) -> int:
    if raw is None or not raw.isdecimal() or int(raw) >= _ID_LIMIT:
        raise InvalidArgument(f"option {key!r} needs a number from 0 to {_ID_LIMIT - 1}")
    return int(raw)


def _ranges(key: str, raw: str | None) -> tuple[IdRange, ...]:
    """``LAYER:SHOWN:COUNT``, any number of times with a colon in between."""
    numbers = [_number(key, part) for part in (raw or "").strip(":").split(":")]
    if len(numbers) % 3:
        raise InvalidArgument(f"option '{key}={raw}': must be LAYER:SHOWN:COUNT, three numbers for each range")
    return tuple(IdRange(*numbers[place : place + 3]) for place in range(0, len(numbers), 3))


_OPTIONS: dict[str, tuple[str, Callable[[str, str | None], Any]]] = {
    "lowerdir": ("lowerdirs", _paths),
    "upperdir": ("upperdir", _path),
    "workdir": ("workdir", _path),
    "ro": ("read_only", _switch),
    "volatile": ("volatile", _switch),
    "userxattr": ("userxattr", _switch),
    "redirect_dir": ("redirect_dir", _chosen("on", "follow", "nofollow", "off")),
    "xino": ("xino", _chosen("on", "off", "auto")),
    "index": ("inode_index", _switch),
    "metacopy": ("metacopy", _switch),
    "nfs_export": ("nfs_export", _refused_when_on("a FUSE mount can't give out lasting file handles")),
    "allow_other": ("allow_other", _switch),
    "dialect": ("dialect", _dialect),
    "passthrough": ("passthrough", _switch),
    "writeback": ("writeback", _switch),
    "fsync": ("volatile", _never_synchronized),
    "squash_to_uid": ("squash_uid", _number),
    "squash_to_gid": ("squash_gid", _number),
    "uidmapping": ("uid_mapping", _ranges),
    "gidmapping": ("gid_mapping", _ranges),
    "noxattrs": ("noxattrs", _switch),
    "static_nlink": ("static_nlink", _switch),
}


def _split(text: str, separator: str) -> Iterator[str]:
    """The parts between unescaped separators, escapes kept."""
    start = position = 0
    while position < len(text):
        if text[position] == "\\":
            position += 1
        elif text[position] == separator:
            yield text[start:position]
            start = position + 1
        position += 1
    yield text[start:]


def _unescape(text: str) -> str:
    kept = []
    characters = iter(text)
    for character in characters:
        kept.append(next(characters, "\\") if character == "\\" else character)
    return "".join(kept)


def _escape(path: str, special: str) -> str:
    return "".join("\\" + character if character in special else character for character in path)

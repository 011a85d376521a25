"""Words of ``mount -o`` as flags of mount(2) and what is left for the file system. Values: ``linux/mount.h``."""

from __future__ import annotations

from lamina.linux import mount

_SYNCHRONOUS = 0x0010
_MANDLOCK = 0x0040
_DIRSYNC = 0x0080
_NOATIME = 0x0400
_NODIRATIME = 0x0800
_RELATIME = 1 << 21
_STRICTATIME = 1 << 24

_SET = {
    "ro": mount.MS_RDONLY,
    "nosuid": mount.MS_NOSUID,
    "nodev": mount.MS_NODEV,
    "noexec": mount.MS_NOEXEC,
    "sync": _SYNCHRONOUS,
    "dirsync": _DIRSYNC,
    "mand": _MANDLOCK,
    "noatime": _NOATIME,
    "nodiratime": _NODIRATIME,
    "relatime": _RELATIME,
    "strictatime": _STRICTATIME,
    "bind": mount.MS_BIND,
    "rbind": mount.MS_BIND | mount.MS_REC,
}
_CLEARED = {
    "rw": mount.MS_RDONLY,
    "suid": mount.MS_NOSUID,
    "dev": mount.MS_NODEV,
    "exec": mount.MS_NOEXEC,
    "async": _SYNCHRONOUS,
    "nomand": _MANDLOCK,
    "atime": _NOATIME,
    "diratime": _NODIRATIME,
    "norelatime": _RELATIME,
    "nostrictatime": _STRICTATIME,
    "defaults": 0,
}


def parse(text: str) -> tuple[int, str]:
    """Flags, and the words that are none of them."""
    flags, rest = 0, []
    for word in text.split(",") if text else ():
        if word in _SET:
            flags |= _SET[word]
        elif word in _CLEARED:
            flags &= ~_CLEARED[word]
        else:
            rest.append(word)
    return flags, ",".join(rest)

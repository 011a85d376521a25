"""Entries of archives whose owners are those inside containers, for files that have others on the host.

A capability of a file belongs to a user namespace: it has its root's number on the host (``linux/capability.h``,
revision 3), and in an archive none (revision 2).
"""

from __future__ import annotations

from lamina.owners import Owners
from lamina.tarball.header import Header

_CAPABILITY = b"security.capability"
#: Length and first word without its lowest bit, the effective flag: ``XATTR_CAPS_SZ_2``, ``VFS_CAP_REVISION_2``.
_LENGTH, _REVISION_2, _REVISION_3 = 20, 2, 3
_REVISION_BYTE = 3


def on_host(header: Header, owners: Owners) -> Header:
    """As the file is to be on the host. Raises :class:`~lamina.owners.UnmappedOwner`."""
    uid, gid = owners.on_host(header.uid, header.gid)
    found = header._replace(uid=uid, gid=gid)
    capability = (header.xattrs or {}).get(_CAPABILITY, b"")
    if len(capability) == _LENGTH and capability[_REVISION_BYTE] == _REVISION_2:
        return _with_capability(found, _revised(capability, _REVISION_3) + owners.root[0].to_bytes(4, "little"))
    return found


def inside(header: Header, owners: Owners) -> Header:
    """As the file is for containers."""
    uid, gid = owners.inside(header.uid, header.gid)
    found = header._replace(uid=uid, gid=gid)
    capability = (header.xattrs or {}).get(_CAPABILITY, b"")
    if len(capability) > _LENGTH and capability[_REVISION_BYTE] == _REVISION_3:
        return _with_capability(found, _revised(capability, _REVISION_2))
    return found


def _revised(capability: bytes, revision: int) -> bytes:
    return capability[:_REVISION_BYTE] + bytes((revision,)) + capability[_REVISION_BYTE + 1 : _LENGTH]


def _with_capability(header: Header, capability: bytes) -> Header:
    return header._replace(xattrs={**(header.xattrs or {}), _CAPABILITY: capability})

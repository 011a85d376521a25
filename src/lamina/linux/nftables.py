"""Packet filtering: rules as text through ``libnftables``, and single map elements straight to the kernel.

The library takes two milliseconds to load and some megabytes, which is fine for setting up a table once. What happens
for each container (is the table there, add a port, take it away) goes to ``NETLINK_NETFILTER`` directly.

Formats: ``nftables/libnftables.h``; ``linux/netfilter/nfnetlink.h``, ``linux/netfilter/nf_tables.h`` (attributes in
network byte order).
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Sequence

from lamina.linux import ctypes
from lamina.linux.netlink import (
    NLM_F_ACK,
    NLM_F_CREATE,
    NLM_F_REQUEST,
    NLMSG_ERROR,
    Netlink,
    attribute,
    attributes,
    message,
    messages,
    nested,
    text,
)
from lamina.typing import NamedTuple

_LIBRARY = "libnftables.so.1"
_NETLINK_NETFILTER = 12

# linux/netfilter/nfnetlink.h
_SUBSYSTEM = 10 << 8
_BATCH_BEGIN, _BATCH_END = 16, 17

# linux/netfilter/nf_tables.h
_GETTABLE, _GETCHAIN, _GETRULE, _NEWSETELEM, _DELSETELEM = 1, 4, 7, 12, 14
_TABLE_NAME = 1
_CHAIN_TABLE, _CHAIN_NAME, _CHAIN_POLICY = 1, 3, 5
_RULE_TABLE, _RULE_CHAIN = 1, 2
_LIST_TABLE, _LIST_SET, _LIST_ELEMENTS = 1, 2, 3
_LIST_ELEMENT = 1
_ELEMENT_KEY, _ELEMENT_DATA = 1, 2
_DATA_VALUE = 1

#: ``linux/netfilter.h``.
INET, IPV4, IPV6 = 1, 2, 10
_DROP = 0


class NotAvailable(Exception):
    """The library or the kernel's part is missing, or the caller lacks the right."""


class RuleError(Exception):
    """The rules were refused; the message is the library's."""


class Chain(NamedTuple):
    """A base chain. ``rules``: its rules as the kernel encodes them."""

    drops: bool
    rules: tuple[bytes, ...]


class Element(NamedTuple):
    """An element of a map; a concatenation's parts are padded to four bytes each (:func:`part`)."""

    key: bytes
    data: bytes


def part(value: bytes) -> bytes:
    """``value`` as a part of a concatenation."""
    return value + bytes(-len(value) % 4)


def run(commands: str) -> None:
    """Carry out ``nft`` commands, all or none.

    :raises NotAvailable: no library. :raises RuleError: refused.
    """
    try:
        library = ctypes.CDLL(_LIBRARY)
    except OSError as error:
        raise NotAvailable(f"{_LIBRARY} can't be loaded ({error}): install the package libnftables1") from error
    new, free, run_commands = library.nft_ctx_new, library.nft_ctx_free, library.nft_run_cmd_from_buffer
    new.restype, new.argtypes = ctypes.c_void_p, [ctypes.c_uint32]
    free.argtypes = [ctypes.c_void_p]
    run_commands.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
    library.nft_ctx_buffer_output.argtypes = library.nft_ctx_buffer_error.argtypes = [ctypes.c_void_p]
    said = library.nft_ctx_get_error_buffer
    said.restype, said.argtypes = ctypes.c_char_p, [ctypes.c_void_p]
    context = new(0)
    if not context:
        raise NotAvailable(f"{_LIBRARY} gave no context")
    try:
        library.nft_ctx_buffer_output(context)
        library.nft_ctx_buffer_error(context)
        if run_commands(context, commands.encode()) != 0:
            raise RuleError((said(context) or b"").decode(errors="replace").strip() or "nftables refused the rules")
    finally:
        free(context)


class Nfnetlink(Netlink):
    """Questions and small changes. Every method raises :class:`OSError`."""

    def __init__(self) -> None:
        super().__init__(_NETLINK_NETFILTER)

    def has_table(self, family: int, name: str) -> bool:
        return self._get(_GETTABLE, family, text(_TABLE_NAME, name), name) is not None

    def chain(self, family: int, table: str, name: str) -> Chain | None:
        """The chain with its rules; ``None`` when there is none."""
        body = self._get(_GETCHAIN, family, text(_CHAIN_TABLE, table) + text(_CHAIN_NAME, name), name)
        if body is None:
            return None
        policy = dict(attributes(body[4:])).get(_CHAIN_POLICY)
        payload = _header(family) + text(_RULE_TABLE, table) + text(_RULE_CHAIN, name)
        rules = tuple(rule[4:] for rule in self.dump(_SUBSYSTEM | _GETRULE, payload, name))
        return Chain(policy is not None and struct.unpack(">I", policy)[0] == _DROP, rules)

    def add(self, family: int, table: str, name: str, elements: Sequence[Element]) -> None:
        """Add elements to a map."""
        self._change(_NEWSETELEM, family, (table, name), elements)

    def remove(self, family: int, table: str, name: str, elements: Sequence[Element]) -> None:
        """Take elements away; ``ENOENT`` when one is not there, and then all stay."""
        self._change(_DELSETELEM, family, (table, name), elements)

    def _get(self, kind: int, family: int, payload: bytes, what: str) -> bytes | None:
        sequence = self.next()
        self.send(message(_SUBSYSTEM | kind, NLM_F_REQUEST, _header(family) + payload, sequence))
        while True:
            for answer, number, body in messages(self._socket.recv(1 << 16)):
                if number != sequence:
                    continue
                if answer == NLMSG_ERROR:
                    code = -struct.unpack_from("=i", body)[0]
                    if code == errno.ENOENT:
                        return None
                    raise OSError(code, os.strerror(code), what)
                return body

    def _change(self, kind: int, family: int, names: tuple[str, str], elements: Sequence[Element]) -> None:
        table, name = names
        flags = NLM_F_CREATE if kind == _NEWSETELEM else 0
        items = [
            nested(
                _LIST_ELEMENT,
                nested(_ELEMENT_KEY, attribute(_DATA_VALUE, element.key)),
                *([nested(_ELEMENT_DATA, attribute(_DATA_VALUE, element.data))] if flags else []),
            )
            for element in elements
        ]
        payload = _header(family) + text(_LIST_TABLE, table) + text(_LIST_SET, name)
        payload += nested(_LIST_ELEMENTS, *items)
        sequence = self.next()
        batch = message(_BATCH_BEGIN, NLM_F_REQUEST, _header(0, 10), self.next())
        batch += message(_SUBSYSTEM | kind, NLM_F_REQUEST | NLM_F_ACK | flags, payload, sequence)
        batch += message(_BATCH_END, NLM_F_REQUEST, _header(0, 10), self.next())
        self.send(batch)
        self.acknowledged((sequence,), f"{table} {name}")


def _header(family: int, resource: int = 0) -> bytes:
    return struct.pack(">BBH", family, 0, resource)

"""The process that holds a container's published ports on the host, and serves those who come by the sockets.

Packets from other hosts are redirected by the packet filter and never get here. Here come calls to ``127.0.0.1`` and
``::1``, calls by version 6, and those of containers. The container sees its bridge's address as the caller's.
"""

from __future__ import annotations

import os
import select
import struct
import time
from _socket import (
    AF_INET,
    AF_INET6,
    CMSG_SPACE,
    IPPROTO_IP,
    IPPROTO_IPV6,
    IPPROTO_SCTP,
    IPV6_PKTINFO,
    IPV6_RECVPKTINFO,
    SHUT_WR,
    SO_ERROR,
    SOCK_CLOEXEC,
    SOCK_DGRAM,
    SOCK_NONBLOCK,
    SOCK_STREAM,
    SOL_SOCKET,
)
from _socket import socket as Socket  # noqa: N812 - the class; the module `socket` would cost three milliseconds
from collections.abc import Callable, Sequence

from lamina import signal
from lamina.linux import daemon, process
from lamina.network.ports import Bound
from lamina.network.resolver import Listening, Relay, open_socket
from lamina.typing import Any

_CHUNK = 64 << 10
_DATAGRAM = 1 << 16
#: How long the answers to a caller's datagrams are waited for, as Docker's proxy does.
_UDP_SECONDS = 90.0
_UDP_LIMIT = 1024
_CONNECTIONS = 4096

#: ``linux/in.h``; the socket module knows it from Python 3.14 on.
_IP_PKTINFO = 8

_Handler = Callable[[int], None]


def start(bound: Sequence[Bound], address: str, listening: Listening | None) -> int:
    """Fork the process for these ports of the container at ``address`` and for its names; its pid.

    It ends with its parent.
    """
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    try:
        process.set_parent_death_signal(signal.SIGKILL, parent=parent)
        kept = {one.socket.fileno() for one in bound}
        if listening is not None:
            kept |= {listening.namespace, listening.datagrams.fileno(), listening.streams.fileno()}
        daemon.leave_caller("lamina-proxy", kept)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        Proxy(bound, address, listening).run()
    finally:
        os._exit(1)


class Proxy:
    """One loop over all sockets."""

    def __init__(self, bound: Sequence[Bound], address: str, listening: Listening | None) -> None:
        self._poll = select.poll()
        self._handlers: dict[int, _Handler] = {}
        self._waiting: list[_Datagrams | Relay] = []
        self.connections = 0
        for one in bound:
            target = (address, one.publication.port)
            if one.publication.protocol == "udp":
                self._waiting.append(_Datagrams(self, one.socket, target))
            else:
                self.watch(one.socket.fileno(), select.POLLIN, _Listener(self, one.socket, target).accept)
        if listening is not None:
            relay = Relay(self, listening)
            self._waiting.append(relay)
            names = _Listener(self, listening.streams, ("", 53), relay, listening.namespace)
            self.watch(listening.streams.fileno(), select.POLLIN, names.accept)

    def run(self) -> None:
        """For ever."""
        while True:
            timeout = 1000 if any(one.busy for one in self._waiting) else None
            for descriptor, events in self._poll.poll(timeout):
                handler = self._handlers.get(descriptor)
                if handler is not None:
                    handler(events)
            for one in self._waiting:
                one.expire()

    def watch(self, descriptor: int, events: int, handler: _Handler) -> None:
        """Call ``handler`` with what happens; a call for a descriptor that is watched changes it."""
        self._handlers[descriptor] = handler
        self._poll.register(descriptor, events)

    def forget(self, descriptor: int) -> None:
        if self._handlers.pop(descriptor, None) is not None:
            self._poll.unregister(descriptor)


class _Listener:
    """A TCP port, or one of SCTP, whose messages are passed on as they come.

    :param relay: knows the address to connect to each time, which is in ``namespace``.
    """

    def __init__(
        self, proxy: Proxy, socket: Socket, target: tuple[str, int], relay: Relay | None = None, namespace: int = -1
    ) -> None:
        self._relay = relay
        self._namespace = namespace
        self._proxy = proxy
        self._socket = socket
        self._target = target

    def accept(self, events: int) -> None:
        try:
            descriptor, _ = self._socket._accept()  # type: ignore[attr-defined] # what the module `socket` wraps
        except OSError:
            return
        caller = Socket(fileno=descriptor)
        caller.setblocking(False)
        if self._proxy.connections >= _CONNECTIONS:
            caller.close()
            return
        address, port = self._target
        if self._relay is None:
            callee = Socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, self._socket.proto)
        else:
            address, port = self._relay.first_server()
            callee = open_socket(self._namespace, SOCK_STREAM, address)
        try:
            callee.connect((address, port))
        except BlockingIOError:
            pass
        except OSError:
            caller.close()
            callee.close()
            return
        _Connection(self._proxy, caller, callee)


class _Connection:
    """A caller and the container, each one's bytes on their way to the other."""

    def __init__(self, proxy: Proxy, caller: Socket, callee: Socket) -> None:
        self._proxy = proxy
        self._ends = (caller, callee)
        self._pending = (bytearray(), bytearray())  # by the end they go to
        self._ended = [False, False]  # ends that will send no more
        self._shut = [False, False]  # ends that were told so
        self._keeps_messages = callee.type != SOCK_STREAM or callee.proto == IPPROTO_SCTP
        proxy.connections += 1
        proxy.watch(callee.fileno(), select.POLLOUT, self._connect)

    def _connect(self, events: int) -> None:
        if self._ends[1].getsockopt(SOL_SOCKET, SO_ERROR):
            self._close()
            return
        for end in (0, 1):
            self._watch(end)

    def _reads(self, end: int) -> bool:
        """Whether more is taken from an end. Of one message at a time: two in a row would become one."""
        return not self._ended[end] and len(self._pending[1 - end]) < (1 if self._keeps_messages else _CHUNK)

    def _watch(self, end: int) -> None:
        wanted = 0
        if self._reads(end):
            wanted |= select.POLLIN
        if self._pending[end]:
            wanted |= select.POLLOUT
        if not wanted:  # an end that has gone is told of all the time, also to who waits for the other one only
            self._proxy.forget(self._ends[end].fileno())
            return
        self._proxy.watch(self._ends[end].fileno(), wanted, lambda events, end=end: self._happened(end, events))  # type: ignore[misc] # mypy can't infer a lambda's default

    def _happened(self, end: int, events: int) -> None:
        try:
            if events & select.POLLOUT:
                self._write(end)
            if self._ended[end] and events & (select.POLLHUP | select.POLLERR):
                raise ConnectionResetError
            if events & (select.POLLIN | select.POLLHUP | select.POLLERR) and self._reads(end):
                self._read(end)
            self._pass_ends()
        except BlockingIOError:
            pass
        except OSError:
            self._close()
            return
        if all(self._shut):
            self._close()
            return
        for one in (0, 1):
            self._watch(one)

    def _read(self, end: int) -> None:
        data = self._ends[end].recv(_CHUNK)
        if not data:
            self._ended[end] = True
            return
        self._pending[1 - end].extend(data)
        self._write(1 - end)

    def _write(self, end: int) -> None:
        pending = self._pending[end]
        while pending:
            try:
                sent = self._ends[end].send(pending)
            except BlockingIOError:
                return
            del pending[:sent]

    def _pass_ends(self) -> None:
        """Tell an end that the other will send no more, once it has got everything."""
        for end in (0, 1):
            if self._ended[1 - end] and not self._pending[end] and not self._shut[end]:
                self._shut[end] = True
                self._ends[end].shutdown(SHUT_WR)

    def _close(self) -> None:
        self._proxy.connections -= 1
        for end in self._ends:
            self._proxy.forget(end.fileno())
            end.close()


class _Datagrams:
    """A UDP port: a socket towards the container for each caller, so that answers find back."""

    def __init__(self, proxy: Proxy, socket: Socket, target: tuple[str, int]) -> None:
        self._proxy = proxy
        self._socket = socket
        self._target = target
        self._callers: dict[Any, _Caller] = {}
        # The address that a caller used is the one that the answer must come from.
        if socket.family == AF_INET6:
            socket.setsockopt(IPPROTO_IPV6, IPV6_RECVPKTINFO, 1)
        else:
            socket.setsockopt(IPPROTO_IP, _IP_PKTINFO, 1)
        proxy.watch(socket.fileno(), select.POLLIN, self._receive)

    @property
    def busy(self) -> bool:
        return bool(self._callers)

    def expire(self) -> None:
        """Forget callers that nothing was heard of."""
        limit = time.monotonic() - _UDP_SECONDS
        for key in [key for key, caller in self._callers.items() if caller.seen < limit]:
            self._drop(key)

    def _receive(self, events: int) -> None:
        try:
            data, control, _, peer = self._socket.recvmsg(_DATAGRAM, CMSG_SPACE(32))
        except OSError:
            return
        key = (peer, _local_address(control))
        caller = self._callers.get(key)
        if caller is None:
            if len(self._callers) >= _UDP_LIMIT:
                self._drop(min(self._callers, key=lambda one: self._callers[one].seen))
            try:
                caller = self._callers[key] = _Caller(self._target)
            except OSError:
                return
            self._proxy.watch(caller.socket.fileno(), select.POLLIN, lambda _: self._answer(key))
        caller.send(data)

    def _answer(self, key: Any) -> None:
        caller = self._callers[key]
        try:
            data = caller.socket.recv(_DATAGRAM)
        except BlockingIOError:
            return
        except OSError:  # nobody listens in the container
            self._drop(key)
            return
        caller.seen = time.monotonic()
        peer, local = key
        try:
            self._socket.sendmsg([data], [local] if local else [], 0, peer)
        except OSError:
            return

    def _drop(self, key: Any) -> None:
        caller = self._callers.pop(key)
        self._proxy.forget(caller.socket.fileno())
        caller.socket.close()


class _Caller:
    """The socket that stands for one caller."""

    def __init__(self, target: tuple[str, int]) -> None:
        self.seen = time.monotonic()
        self.socket = Socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK)
        try:
            self.socket.connect(target)
        except BaseException:
            self.socket.close()
            raise

    def send(self, data: bytes) -> None:
        self.seen = time.monotonic()
        try:
            self.socket.send(data)
        except OSError:  # refused before, or full: datagrams may be lost
            return


def _local_address(control: list[tuple[int, int, bytes]]) -> tuple[int, int, bytes] | None:
    """The control message that makes an answer come from where the caller sent to."""
    for level, kind, data in control:
        if level == IPPROTO_IP and kind == _IP_PKTINFO:  # struct in_pktinfo: interface, local address, destination
            return level, kind, struct.pack("=i4s4s", 0, data[8:12], bytes(4))
        if level == IPPROTO_IPV6 and kind == IPV6_PKTINFO:  # struct in6_pktinfo: address, interface
            return level, kind, data
    return None

"""Names of containers on networks that somebody made, answered by ``aardvark-dns`` at each network's gateway address.

One server runs for a data root while a container is on such a network. It reads a directory with one file for each
network: the addresses to listen at, then a line for each container (``id version-4 version-6 names``); a hang-up makes
it read again. The format is aardvark-dns's own (``src/config``, version 1.4).

It listens on port 53, and on another one where some program has that on all of the host's addresses: containers ask
their own :mod:`resolver`, which knows.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
from _socket import AF_INET, SOCK_CLOEXEC, SOCK_DGRAM
from _socket import socket as Socket  # noqa: N812 - the class; the module `socket` would cost three milliseconds
from collections.abc import Iterator, Sequence

from lamina import filelock, signal
from lamina.contextlib import contextmanager, suppress
from lamina.errors import SystemFailure
from lamina.network.contract import BRIDGE, Network
from lamina.network.store import NetworkStore

_PROGRAMS = ("/usr/lib/podman/aardvark-dns", "/usr/libexec/podman/aardvark-dns", "/usr/bin/aardvark-dns")
PORT = 53
_OTHER_PORTS = (5300, 15353, 25353, 35353)
_CHOSEN = "names.port"
_PID = "aardvark.pid"
_END_MILLISECONDS = 2000


class NamesFailed(SystemFailure):
    """The server for names could not be started."""


def program() -> str:
    """Path of ``aardvark-dns``; ``""`` when it is not installed."""
    return next((path for path in _PROGRAMS if os.access(path, os.X_OK)), "")


def announce(store: NetworkStore, networks: Sequence[Network]) -> None:
    """Let the names of who is on the networks now be answered. Does nothing where the program is missing.

    :raises NamesFailed: the server does not start; another one may listen at all addresses.
    """
    concerned = [network for network in networks if has_names(network)]
    server = program() if concerned else ""
    if not server:
        return
    home = store.path("names")
    with _lock(store):
        os.makedirs(home, 0o700, exist_ok=True)
        for network in concerned:
            _write(store, network, home)
        _reload(store, server, home)


def forget(store: NetworkStore, network: Network) -> None:
    """The network is gone."""
    home = store.path("names")
    if has_names(network) and os.path.exists(f"{home}/{network.id}"):
        with _lock(store):
            with suppress(FileNotFoundError):
                os.unlink(f"{home}/{network.id}")
            _reload(store, program(), home)


def port(store: NetworkStore) -> int:
    """Where this root's server listens."""
    try:
        with open(store.path(_CHOSEN), encoding="ascii") as file:
            return int(file.read())
    except (OSError, ValueError):
        return PORT


def has_names(network: Network) -> bool:
    """Whether containers find each other by name there."""
    return network.resolves_names and network.driver == BRIDGE


def _write(store: NetworkStore, network: Network, home: str) -> None:
    lines = []
    for endpoint in store.endpoints(network.id):
        names = ",".join(dict.fromkeys(name.lower() for name in endpoint.names))
        lines.append(f"{endpoint.container} {endpoint.address} {endpoint.address6} {names}\n")
    path = f"{home}/{network.id}"
    if not lines:
        with suppress(FileNotFoundError):
            os.unlink(path)
        return
    addresses = ",".join(pool.gateway for pool in network.pools if pool.gateway)
    temporary = store.path("names.new")  # the server would read it in its own directory
    with open(temporary, "w", encoding="utf-8") as file:
        file.write(f"{addresses}\n{''.join(lines)}")
    os.rename(temporary, path)


def _reload(store: NetworkStore, server: str, home: str) -> None:
    """Have what is in the directory answered: by the server that runs, by a new one, or by none where it is empty.

    The caller holds the lock. An idle server is ended here and now: left to end by itself, it would take the next
    hang-up for the last.
    """
    wanted = any(name != _PID for name in os.listdir(home))
    running = _running(home)
    try:
        if running >= 0:
            with suppress(ProcessLookupError):
                if not wanted:
                    _end(running, home)
                    return
                signal.pidfd_send_signal(running, signal.SIGHUP)
                return
        if wanted:
            _start(store, server, home)
    finally:
        if running >= 0:
            os.close(running)


def _start(store: NetworkStore, server: str, home: str) -> None:
    chosen = str(_free_port(home))
    with open(store.path(_CHOSEN), "w", encoding="ascii") as file:
        file.write(chosen)
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    try:
        actions = [(os.POSIX_SPAWN_DUP2, null, target) for target in (0, 1, 2)]
        arguments = [server, "--config", home, "--port", chosen, "run"]
        pid = os.posix_spawn(server, arguments, {}, file_actions=actions, setsid=True)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])  # it goes on in a child of its own
    finally:
        os.close(null)
    if status != 0:
        raise NamesFailed(f"{server} failed with exit code {status}: names of containers can't be resolved")


def _free_port(home: str) -> int:
    """One that nobody has at any of the addresses. The server would go on without a word when it can't listen."""
    addresses = []
    for name in os.listdir(home):
        with open(f"{home}/{name}", encoding="utf-8") as file:
            addresses += [address for address in file.readline().strip().split(",") if "." in address]
    for candidate in (PORT, *_OTHER_PORTS):
        if not any(_is_taken(address, candidate) for address in addresses):
            return candidate
    raise NamesFailed(f"other programs have port {PORT} of all addresses, and {_OTHER_PORTS}: names can't be resolved")


def _is_taken(address: str, candidate: int) -> bool:
    probe = Socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC)
    try:
        probe.bind((address, candidate))
    except OSError as error:
        return error.errno == errno.EADDRINUSE
    finally:
        probe.close()
    return False


def _end(running: int, home: str) -> None:
    signal.pidfd_send_signal(running, signal.SIGKILL)
    poll = select.poll()
    poll.register(running, select.POLLIN)
    poll.poll(_END_MILLISECONDS)
    with suppress(FileNotFoundError):
        os.unlink(f"{home}/{_PID}")


def _running(home: str) -> int:
    """A descriptor of this root's server; -1 where none runs."""
    try:
        with open(f"{home}/{_PID}", encoding="ascii") as file:
            pid = int(file.read())
        handle = os.pidfd_open(pid)
    except (OSError, ValueError):
        return -1
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            if home.encode() in file.read().split(b"\0"):
                return handle
    except OSError:
        pass
    os.close(handle)
    return -1


@contextmanager
def _lock(store: NetworkStore) -> Iterator[None]:
    descriptor = filelock.open_lock(store.path("names.lock"))
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)

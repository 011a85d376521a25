"""``network connect`` and ``disconnect``: changing the networks of a container that exists, whether it runs or not."""

from __future__ import annotations

from collections.abc import Mapping

from lamina import events
from lamina.container import lifecycle, networking
from lamina.container.parts import Network, Parts
from lamina.container.record import RESTARTING, Container
from lamina.contextlib import nullcontext, suppress
from lamina.errors import Conflict, Denied, NotFound
from lamina.typing import Any

_HOST, _NONE, _DEFAULT = "host", "none", "bridge"


class NotConnected(Conflict):
    """The container is not on the network."""

    def __init__(self, container: str, network: str) -> None:
        super().__init__(f"container {container} is not connected to network {network}")


def connect(parts: Parts, container_id: str, text: str, wanted: Mapping[str, Any]) -> None:
    """Put a container on one more network; the first time that it starts when it does not run.

    :param wanted: an entry of ``EndpointsConfig``.
    :raises Conflict: it is there, or shares somebody's network.
    """
    network = parts.networks.get(text)
    with parts.store.lock(container_id):
        container = lifecycle.reconcile(parts, parts.store.load(container_id))
        is_live = _is_live(container)
        _check(container, network)
        settings = container.document["NetworkSettings"]
        name = network.name
        parts.networks.check_endpoint(network.id, wanted)
        if name in settings["Networks"]:
            if container.running:
                raise Denied(f"endpoint with name {container.name} already exists in network {name}")
            raise Conflict(f"container {container.id} is already connected to network {name}")
        entry = networking.entry(container, name, wanted)
        networking.add_short_id(container, name, entry)
        if is_live:
            with parts.run_directory(container.id).connecting():
                _connect(parts, container, network, entry)
        else:
            settings["Networks"][name] = entry
            parts.store.save(container)
    if is_live:  # else it connects when it starts
        events.tell(parts.root, networking.actor(network, container), "connect")


def _connect(parts: Parts, container: Container, network: Network, entry: dict[str, Any]) -> None:
    """The same for one that runs."""
    settings = container.document["NetworkSettings"]
    name = network.name
    parts.networks.settle(container.id, container.pid)
    settings["Networks"][name] = entry
    parts.store.save(container)  # settle() takes it for one that is being made
    try:
        names = networking.names_on(container, name, entry)
        endpoint = parts.networks.connect(network.id, (container.id, container.name), container.pid, entry, names)
    except BaseException:
        del settings["Networks"][name]
        parts.store.save(container)
        parts.run_directory(container.id).settled()
        raise
    networking.note_endpoint(settings, endpoint)
    networking.write_files(parts, container, parts.networks.endpoints_of(container.id))
    parts.store.save(container)


def settle(parts: Parts, container: Container) -> None:
    """After a :func:`connect` or :func:`disconnect` that was killed: write down what had been done, undo the rest.

    The caller holds the lock of the container, which runs. Between two runs nothing is to be done: the next one has
    the networks of the record.
    """
    if container.status == RESTARTING:
        parts.run_directory(container.id).settled()
        return
    parts.networks.settle(container.id, container.pid)
    settings = container.document["NetworkSettings"]
    made = {endpoint.network_name: endpoint for endpoint in parts.networks.endpoints_of(container.id)}
    for name in set(settings["Networks"]) - set(made):
        del settings["Networks"][name]
    for endpoint in made.values():
        networking.note_endpoint(settings, endpoint)
    with suppress(FileNotFoundError):
        networking.write_files(parts, container, list(made.values()))
    parts.store.save(container)
    parts.run_directory(container.id).settled()


def disconnect(parts: Parts, container_id: str, text: str, *, force: bool = False) -> None:
    """Take it off a network. ``force``: also when the network does not exist any more."""
    network: Network | None = None
    with suppress(NotFound) if force else nullcontext():
        network = parts.networks.get(text)
    name = network.name if network is not None else text
    with parts.store.lock(container_id):
        container = lifecycle.reconcile(parts, parts.store.load(container_id))
        networks = container.document["NetworkSettings"]["Networks"]
        if name not in networks:
            raise NotConnected(container.id, name)
        if name == _HOST:
            raise Denied("container cannot be disconnected from host network or connected to host network")
        is_live = _is_live(container)
        with parts.run_directory(container.id).connecting() if is_live else nullcontext():
            if is_live and network is not None:
                parts.networks.disconnect(network.id, container.id, container.pid)
            del networks[name]
            if is_live and networking.is_bridged(container):
                with suppress(FileNotFoundError):
                    networking.write_files(parts, container, parts.networks.endpoints_of(container.id))
            parts.store.save(container)
    if network is not None:
        for _ in range(2 if is_live else 1):  # Docker tells of what a person asked for, and of what it did
            events.tell(parts.root, networking.actor(network, container), "disconnect")


def _is_live(container: Container) -> bool:
    """Whether it has networks now: not between two runs."""
    return container.running and container.status != RESTARTING


def _check(container: Container, network: Network) -> None:
    mode = container.network_mode
    if mode.startswith("container:"):
        raise Denied(
            "container sharing network namespace with another container or host cannot be connected to "
            "any other network"
        )
    if _HOST in (mode, network.name):
        raise Denied("container cannot be disconnected from host network or connected to host network")
    if _NONE in (network.name, mode):
        raise Denied(
            "container cannot be connected to multiple networks with one of the networks in private (none) mode"
        )

"""A container's networks: what its record says about them, and what they say in its record.

Rules and messages are those of Docker 20.10. The work is done by the network service (:class:`parts.Networks`), in the
monitor's process: it holds the namespace until the container has ended.
"""

from __future__ import annotations

import os
from _socket import AF_INET, AF_INET6, inet_pton
from collections.abc import Mapping, Sequence

from lamina import events, signal
from lamina.container import defaults, hostfiles
from lamina.container.configuring import InvalidSetting
from lamina.container.parts import Endpoint, Network, NetworkOpened, NetworkWanted, Parts
from lamina.container.record import Container
from lamina.container.store import NoSuchContainer
from lamina.contextlib import suppress
from lamina.errors import Conflict, LaminaError, NotFound
from lamina.typing import Any

_CONTAINER = "container:"
_OWN = ("none", "host")
#: Docker's name of the network that a container is on when nobody says otherwise.
_DEFAULT = "bridge"
#: Name of the link in the run directory that leads to the namespace.
_LINK = "netns"
_UNDEFINED = "This would result in undefined behavior"
_REMEMBERED = ("IPAMConfig", "Links", "Aliases", "DriverOpts")


def is_bridged(container: Container) -> bool:
    """Whether it has interfaces that the engine makes."""
    return makes_interfaces(container.network_mode)


def makes_interfaces(mode: str) -> bool:
    """Whether the engine makes interfaces for a container with that ``HostConfig.NetworkMode``."""
    return mode not in _OWN and not mode.startswith(_CONTAINER)


def mode_of(parts: Parts, config: Mapping[str, Any], host_config: Mapping[str, Any]) -> str:
    """``HostConfig.NetworkMode`` of a new container.

    :raises InvalidSetting: the mode leaves no room for something else that is asked for.
    """
    mode = str(host_config.get("NetworkMode") or "default")
    if mode.startswith(_CONTAINER):
        name = mode.removeprefix(_CONTAINER)
        if not name:
            raise InvalidSetting("Invalid network mode: invalid container format container:<name|id>")
        for conflicts, text in (
            (config.get("Hostname"), "hostname and the network mode"),
            (
                host_config.get("Links"),
                "container type network can't be used with links. This would result in undefined behavior",
            ),
            (host_config.get("Dns"), "dns and the network mode"),
            (host_config.get("ExtraHosts"), "custom host-to-IP mapping and the network mode"),
            (config.get("MacAddress"), "mac-address and the network mode"),
            (
                host_config.get("PortBindings") or host_config.get("PublishAllPorts"),
                "port publishing and the container type network mode",
            ),
            (config.get("ExposedPorts"), "port exposing and the container type network mode"),
        ):
            if conflicts:
                raise InvalidSetting(f"conflicting options: {text}")
        return _CONTAINER + parts.store.find(name)
    if mode == "host" and host_config.get("Links"):
        raise InvalidSetting(f"conflicting options: host type networking can't be used with links. {_UNDEFINED}")
    return mode


def describe(parts: Parts, container: Container, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """``NetworkSettings`` of a new container. ``wanted`` is ``NetworkingConfig.EndpointsConfig`` of the request.

    Links in its ``HostConfig`` become those of the record. Raises what the network service finds wrong with ports.
    """
    mode = container.network_mode
    if mode.startswith(_CONTAINER):
        return {**defaults.network_settings("none"), "Networks": {}}
    if container.host_config.get("PortBindings") or container.host_config.get("PublishAllPorts"):
        parts.networks.check_ports(container.config, container.host_config)
    container.host_config["Links"] = _links(parts, container) or None
    own = _DEFAULT if mode == "default" else _name_of(parts, mode)
    settings = defaults.network_settings(own)
    networks = {
        own: wanted.get(mode) or wanted.get(own) or {},
        **{_name_of(parts, name): one or {} for name, one in wanted.items() if name not in (own, mode)},
    }
    settings["Networks"] = {name: entry(container, name, one) for name, one in networks.items()}
    return settings


def _name_of(parts: Parts, text: str) -> str:
    """The network's name, or the text itself where there is none: Docker complains when the container starts."""
    if text in (*_OWN, _DEFAULT):
        return text
    try:
        return parts.networks.get(text).name
    except NotFound:
        return text


def entry(container: Container, name: str, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """An entry of ``NetworkSettings.Networks``, from one of ``EndpointsConfig``."""
    endpoint = {**defaults.endpoint(), "IPAMOperational": False}
    for member in _REMEMBERED:
        if wanted.get(member):
            endpoint[member] = wanted[member]
    addresses = wanted.get("IPAMConfig") or {}
    for member, version in (("IPv4Address", 4), ("IPv6Address", 6)):
        address = addresses.get(member)
        if address and not _is_address(str(address), version):
            raise InvalidSetting(f"invalid IPv{version} address: {address}")
    if name == _DEFAULT and container.network_mode == "default":
        endpoint["IPAMConfig"] = None  # Docker gives no address of one's choice there
    return endpoint


def add_short_id(container: Container, name: str, endpoint: dict[str, Any]) -> None:
    """Have others on the network find the container by the beginning of its id, as Docker does when it joins."""
    short = container.id[:12]
    aliases = endpoint.get("Aliases") or []
    if name not in (*_OWN, _DEFAULT) and short not in aliases:
        endpoint["Aliases"] = [*aliases, short]


def _is_address(text: str, version: int) -> bool:
    try:
        inet_pton(AF_INET6 if version == 6 else AF_INET, text)
    except OSError:
        return False
    return True


def advice(container: Container) -> list[str]:
    """Warnings for the user."""
    published = container.host_config.get("PortBindings") or container.host_config.get("PublishAllPorts")
    if container.network_mode == "host" and published:
        return ["Published ports are discarded when using host network mode"]
    return []


def _links(parts: Parts, container: Container) -> list[str]:
    """``--link`` as records have it: ``<id>:<alias>``, for the other may get another name."""
    found = []
    for text in container.host_config.get("Links") or ():
        name, _, alias = str(text).partition(":")
        try:
            other = parts.store.find(name)
        except NoSuchContainer:
            raise InvalidSetting(f"could not get container for {name}: No such container: {name}") from None
        found.append(f"{other}:{alias or name}")
    return found


# Starting


def namespace_path(parts: Parts, container: Container) -> str:
    """What the runtime is told to join; ``""`` for one that it makes.

    :raises Conflict: the container whose network it shares does not run.
    """
    mode = container.network_mode
    if is_bridged(container):
        return parts.run_directory(container.id).sub(_LINK)
    if mode.startswith(_CONTAINER):
        other = parts.store.load(parts.store.find(mode.removeprefix(_CONTAINER)))
        if not other.running:
            raise Conflict(f"cannot join network of a non running container: {other.id}")
        return f"/proc/{other.pid}/ns/net"
    return ""


def user_namespace_path(parts: Parts, container: Container) -> str:
    """The user namespace that the runtime is told to join; ``""`` for one that it makes."""
    from lamina.container import usernamespace  # few hosts have them

    return usernamespace.path(parts, container, bridged=is_bridged(container))


def share_files(parts: Parts, container: Container) -> bool:
    """Use the files of the container whose network it shares. Whether it shares one."""
    mode = container.network_mode
    if not mode.startswith(_CONTAINER):
        return False
    other = parts.store.load(parts.store.find(mode.removeprefix(_CONTAINER)))
    for member, _, _ in hostfiles.FILES:
        container.document[member] = other.document[member]
    container.config["Hostname"] = other.config["Hostname"]
    container.config["Domainname"] = other.config["Domainname"]
    return True


def open(parts: Parts, container: Container) -> NetworkOpened | None:
    """Make what the container needs and write it down in its record and files; ``None`` where nothing is to be made."""
    for name, endpoint in (container.document["NetworkSettings"].get("Networks") or {}).items():
        if endpoint is not None:
            parts.networks.check_endpoint(name, endpoint)
    if not is_bridged(container):
        _note_ids(parts, container)
        return None
    user_namespace = -1
    if parts.owners_for(container).are_mapped:
        from lamina.container import usernamespace  # few hosts have them

        user_namespace = usernamespace.made(parts, container)
    wanted = _wanted(parts, parts.start_settings.complete(container))
    try:
        opened = parts.networks.open(wanted._replace(user_namespace=user_namespace))
    except BaseException:
        _close(user_namespace)
        raise
    try:
        link = _link(parts, container, f"/proc/{os.getpid()}/fd/{opened.descriptor}")
        _note(container, link, opened)
        write_files(parts, container, opened.endpoints, starting=True)
    except BaseException:
        close(parts, container.id)
        os.close(opened.descriptor)
        _close(user_namespace)
        raise
    return opened


def _link(parts: Parts, container: Container, target: str) -> str:
    """Have the link to the container's namespace lead there; its path."""
    link = parts.run_directory(container.id).sub(_LINK)
    with suppress(FileNotFoundError):  # of the last run, when this is not the first
        os.unlink(link)
    os.symlink(target, link)
    return link


def note_started(parts: Parts, container: Container) -> None:
    """Write down where the namespace is of a container whose first process is in one that is not made here."""
    if container.network_mode in _OWN:
        link = _link(parts, container, f"/proc/{container.pid}/ns/net")
        container.document["NetworkSettings"]["SandboxKey"] = link


def _close(descriptor: int) -> None:
    if descriptor >= 0:
        os.close(descriptor)


def write_files(parts: Parts, container: Container, endpoints: Sequence[Endpoint], *, starting: bool = False) -> None:
    """Its ``hosts`` and ``resolv.conf``, with the addresses that it has now.

    :raises Conflict: it is starting, and a container that it has a link to does not run.
    """
    hostfiles.write_network(
        parts.start_settings.complete(container),
        [address for one in endpoints for address in (one.address, one.address6) if address],
        _linked(parts, container, starting=starting),
        gateway=host_gateway(parts, container),
        server=parts.networks.names_at(container.id),
    )


def host_gateway(parts: Parts, container: Container) -> str:
    """What ``host-gateway`` in its ``ExtraHosts`` means; ``""`` when it has none or there is no bridge."""
    if not any(str(one).endswith(hostfiles.HOST_GATEWAY) for one in container.host_config.get("ExtraHosts") or ()):
        return ""
    try:
        return parts.networks.host_address()
    except NotFound:
        return ""


def close(parts: Parts, container_id: str) -> None:
    """Give back what the container had. Idempotent."""
    parts.networks.close(container_id)


def recover(parts: Parts, container_id: str) -> None:
    """Give back what a container had whose monitor died, however far it had come. Idempotent."""
    parts.networks.recover(container_id)


def actors(parts: Parts, container: Container) -> list[events.Actor]:
    """The networks that it is on, as events tell of them; Docker's default one first."""
    networks = (container.document.get("NetworkSettings") or {}).get("Networks") or {}
    found = []
    for name in sorted(networks, key=lambda name: (name != _DEFAULT, name)):
        with suppress(LaminaError):  # what can't be told of must not stop anything
            network = parts.networks.get((networks[name] or {}).get("NetworkID") or name)
            found.append(actor(network, container))
    return found


def actor(network: Network, container: Container) -> events.Actor:
    """A network that something happened to because of a container."""
    attributes = {"container": container.id, "name": network.name, "type": network.driver}
    return events.Actor(events.NETWORK, network.id, attributes)


def end(parts: Parts, container_id: str, opened: NetworkOpened) -> None:
    """The container has ended, or did not start."""
    if opened.helper:
        with suppress(ProcessLookupError):  # a child of this process: the pid is nobody else's until it is reaped
            os.kill(opened.helper, signal.SIGKILL)
    close(parts, container_id)
    os.close(opened.descriptor)
    _close(opened.user_namespace)


def _wanted(parts: Parts, container: Container) -> NetworkWanted:
    networks = container.document["NetworkSettings"]["Networks"]
    mode = container.network_mode
    own = _DEFAULT if mode == "default" else _name_of(parts, mode)
    names = sorted(networks, key=lambda name: (name != own, name))
    endpoints = []
    for name in names:
        one = networks[name] or {}
        add_short_id(container, name, one)
        endpoints.append((name, one, names_on(container, name, one)))
    return NetworkWanted(container.id, container.name, tuple(endpoints), container.config, container.host_config)


def names_on(container: Container, network: str, endpoint: Mapping[str, Any]) -> tuple[str, ...]:
    """By which others on the network find the container; nobody does on Docker's default one."""
    if network == _DEFAULT:
        return ()
    return tuple(dict.fromkeys((container.name, *(endpoint.get("Aliases") or ()), *_own_names(container))))


def _own_names(container: Container) -> tuple[str, ...]:
    """Docker's own server knows a container by its host name too, once somebody chose one."""
    hostname = str(container.config["Hostname"])
    return () if hostname == container.id[:12] else (hostname,)


def _note(container: Container, link: str, opened: NetworkOpened) -> None:
    settings = container.document["NetworkSettings"]
    settings.update(SandboxID=os.urandom(32).hex(), SandboxKey=link, Ports=opened.ports)
    for endpoint in opened.endpoints:
        note_endpoint(settings, endpoint)


def note_endpoint(settings: dict[str, Any], endpoint: Endpoint) -> None:
    """Write an endpoint into ``NetworkSettings``."""
    known = settings["Networks"].get(endpoint.network_name) or {**defaults.endpoint(), "IPAMOperational": False}
    known.update(
        NetworkID=endpoint.network,
        EndpointID=endpoint.id,
        Gateway=endpoint.gateway,
        IPAddress=endpoint.address,
        IPPrefixLen=endpoint.prefix,
        IPv6Gateway=endpoint.gateway6,
        GlobalIPv6Address=endpoint.address6,
        GlobalIPv6PrefixLen=endpoint.prefix6,
        MacAddress=endpoint.mac,
    )
    settings["Networks"][endpoint.network_name] = known


def _note_ids(parts: Parts, container: Container) -> None:
    settings = container.document["NetworkSettings"]
    for name, endpoint in (settings.get("Networks") or {}).items():
        if name in _OWN and endpoint is not None:
            with suppress(NotFound):
                endpoint.update(NetworkID=parts.networks.get(name).id, EndpointID=os.urandom(32).hex())
    if container.network_mode in _OWN:
        settings.update(SandboxID=os.urandom(32).hex(), Ports={})


def forget(container: Container) -> None:
    """The container has ended: what it had is not its own any more, as Docker writes it."""
    settings = container.document.get("NetworkSettings") or {}
    settings["Ports"] = {}
    empty = defaults.endpoint()
    for endpoint in (settings.get("Networks") or {}).values():
        if endpoint is not None:
            endpoint.update((key, value) for key, value in empty.items() if key not in (*_REMEMBERED, "NetworkID"))


def _linked(parts: Parts, container: Container, *, starting: bool) -> list[tuple[str, str]]:
    """Address and names of each container that a link leads to, on the default network."""
    found = []
    for text in container.host_config.get("Links") or ():
        name, _, alias = str(text).partition(":")
        try:
            other = parts.store.load(parts.store.find(name.removeprefix("/")))
        except NoSuchContainer:
            continue
        if not other.running:
            if not starting:
                continue
            raise Conflict(f"Cannot link to a non running container: /{other.name} AS /{container.name}/{alias}")
        endpoint = (other.document["NetworkSettings"].get("Networks") or {}).get(_DEFAULT) or {}
        if endpoint.get("IPAddress"):
            words = dict.fromkeys((alias, str(other.config["Hostname"]), other.name))
            found.append((str(endpoint["IPAddress"]), " ".join(words)))
    return found

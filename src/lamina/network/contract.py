"""What a network is, and what can be wrong with one. Texts: what Docker 20.10 answers."""

from __future__ import annotations

import os

from lamina import json
from lamina.configuration import Configuration
from lamina.errors import Conflict, Denied, InvalidArgument, NotFound, SystemFailure, Unsupported
from lamina.typing import Any, NamedTuple

#: Drivers whose networks this engine makes itself.
BRIDGE, HOST, NONE, MACVLAN, IPVLAN = "bridge", "host", "null", "macvlan", "ipvlan"
#: Docker's names of the networks that every root has, and their drivers.
PREDEFINED = {"bridge": BRIDGE, "host": HOST, "none": NONE}
#: Every address of the host, of version 4 and of version 6.
ANY, ANY6 = "0.0.0.0", "::"  # noqa: S104 - Docker's default for published ports
#: Modes in ``HostConfig.NetworkMode`` that name no network of the store.
CONTAINER_MODE = "container:"

#: Options of the ``bridge`` driver (Docker's reference of ``network create``).
OPTION_BRIDGE_NAME = "com.docker.network.bridge.name"
OPTION_MTU = "com.docker.network.driver.mtu"
OPTION_ICC = "com.docker.network.bridge.enable_icc"
OPTION_MASQUERADE = "com.docker.network.bridge.enable_ip_masquerade"
OPTION_HOST_BINDING = "com.docker.network.bridge.host_binding_ipv4"
#: Options of ``macvlan`` and ``ipvlan``.
OPTION_PARENT = "parent"
OPTION_MACVLAN_MODE = "macvlan_mode"
OPTION_IPVLAN_MODE = "ipvlan_mode"


class NoSuchNetwork(NotFound):
    def __init__(self, text: str) -> None:
        super().__init__(f"network {text} not found")


class AmbiguousNetwork(InvalidArgument):
    def __init__(self, text: str, count: int) -> None:
        super().__init__(f"network {text} is ambiguous ({count} matches found on ID prefix)")


class NetworkExists(Conflict):
    def __init__(self, name: str) -> None:
        super().__init__(f"network with name {name} already exists")


class PredefinedNetwork(Denied):
    """``bridge``, ``host`` and ``none`` are there and stay."""


class NetworkInUse(Denied):
    def __init__(self, name: str, identifier: str) -> None:
        super().__init__(f"error while removing network: network {name} id {identifier} has active endpoints")


class ConfigurationInUse(Denied):
    """Another network has its settings from this one."""

    def __init__(self, name: str) -> None:
        super().__init__(f'error while removing network: configuration network "{name}" is in use')


class PoolOverlaps(Denied):
    def __init__(self) -> None:
        super().__init__("Pool overlaps with other one on this address space")


class NoPoolLeft(SystemFailure):
    def __init__(self) -> None:
        super().__init__(
            "could not find an available, non-overlapping IPv4 address pool among the defaults to assign to the network"
        )


class NoAddressLeft(SystemFailure):
    def __init__(self, subnet: str) -> None:
        super().__init__(f"no available IPv4 addresses on this network's address pools: {subnet}")


class AddressInUse(Denied):
    def __init__(self) -> None:
        super().__init__("Address already in use")


class PortInUse(SystemFailure):
    """A host port that somebody else has."""


class NotPermitted(Unsupported):
    """This process may not make network namespaces or interfaces."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"containers' networks need root with CAP_NET_ADMIN and CAP_SYS_ADMIN ({reason}); without, there are "
            "--network none and --network host"
        )


class Pool(NamedTuple):
    """One range of a network (``IPAM.Config`` of the API).

    :ivar subnet: CIDR text. :ivar gateway: address text; ``""`` before one was chosen.
    :ivar range: where addresses are given from; ``""`` for all of the subnet.
    :ivar reserved: name to address, never given (``AuxiliaryAddresses``).
    :ivar automatic: whether nobody chose the range; its addresses can't be chosen then.
    :ivar chosen: whether the gateway was chosen for a range that somebody gave; Docker does not show it then.
    """

    subnet: str
    gateway: str = ""
    range: str = ""
    reserved: dict[str, str] = {}  # noqa: RUF012 - a default of a NamedTuple, never changed
    chosen: bool = False
    automatic: bool = False

    def document(self) -> dict[str, Any]:
        """As the API writes it."""
        result: dict[str, Any] = {"Subnet": self.subnet}
        if self.range:
            result["IPRange"] = self.range
        if self.gateway and not self.chosen:
            result["Gateway"] = self.gateway
        if self.reserved:
            result["AuxiliaryAddresses"] = dict(self.reserved)
        return result


class Network(NamedTuple):
    """One network.

    :ivar id: 64 hexadecimal digits.
    :ivar created: RFC 3339 text.
    :ivar bridge: name of its bridge on the host; ``""`` for drivers without.
    :ivar ipam_options: ``IPAM.Options``; ``None`` for predefined networks.
    :ivar config_only: whether it is nothing but settings for others to be made with; ``config_from``: the name of the
        network that it has its settings from, ``""`` for its own.
    """

    id: str
    name: str
    driver: str
    created: str
    pools: tuple[Pool, ...] = ()
    bridge: str = ""
    internal: bool = False
    ipv6: bool = False
    attachable: bool = False
    options: dict[str, str] = {}  # noqa: RUF012 - defaults of a NamedTuple, never changed
    labels: dict[str, str] = {}  # noqa: RUF012
    ipam_driver: str = "default"
    ipam_options: dict[str, str] | None = None
    config_only: bool = False
    config_from: str = ""

    @property
    def predefined(self) -> bool:
        return self.name in PREDEFINED

    @property
    def mtu(self) -> int:
        """0 for the kernel's default. Raises :class:`InvalidArgument`."""
        text = self.options.get(OPTION_MTU) or "0"
        if not text.isdecimal():
            raise InvalidArgument(
                f'failed to parse {OPTION_MTU} value: {text} (strconv.Atoi: parsing "{text}": invalid syntax)'
            )
        return int(text)

    @property
    def resolves_names(self) -> bool:
        """Docker resolves containers' names on networks that somebody made."""
        return not self.predefined

    def pool(self, version: int) -> Pool | None:
        """The first range of that version."""
        for pool in self.pools:
            if (":" in pool.subnet) == (version == 6):
                return pool
        return None


class DefaultBridge(NamedTuple):
    """What daemon.json says of the default network.

    :ivar options: of its driver, beside Docker's own.
    :ivar pool: its range, whose gateway is the bridge's address.
    """

    options: tuple[tuple[str, str], ...] = ()
    pool: Pool | None = None

    @classmethod
    def of(cls, configuration: Configuration) -> DefaultBridge:
        """From ``bip``, ``fixed-cidr``, ``mtu``, ``ip``, ``icc`` and ``ip-masq``."""
        given = {
            OPTION_MTU: str(configuration.mtu or ""),
            OPTION_HOST_BINDING: configuration.ip,
            OPTION_ICC: "" if configuration.icc else "false",
            OPTION_MASQUERADE: "" if configuration.ip_masq else "false",
        }
        options = tuple((name, value) for name, value in given.items() if value)
        if not configuration.bip:
            return cls(options)
        gateway = configuration.bip.partition("/")[0]
        return cls(options, Pool(configuration.bip, gateway, range=configuration.fixed_cidr))


class Request(NamedTuple):
    """What ``POST /networks/create`` says.

    :ivar scope: ``""`` for what the driver has.
    """

    name: str
    driver: str = BRIDGE
    pools: tuple[Pool, ...] = ()
    internal: bool = False
    ipv6: bool = False
    attachable: bool = False
    options: dict[str, str] = {}  # noqa: RUF012 - defaults of a NamedTuple, never changed
    labels: dict[str, str] = {}  # noqa: RUF012
    ipam_driver: str = "default"
    ipam_options: dict[str, str] = {}  # noqa: RUF012
    scope: str = ""
    ingress: bool = False
    config_only: bool = False
    config_from: str = ""


class Endpoint(NamedTuple):
    """One container's place on one network.

    :ivar interface: its name in the container; ``host_interface``: of the other end, ``""`` where there is none.
    :ivar gateway: where the container's default route goes to when this is the network that has it.
    :ivar prefix: length of the network's prefix, 0 without an address; the same for version 6.
    :ivar names: by which others on the network find it.
    :ivar planned: name of the interface while it is being made, or taken away.
    """

    network: str
    network_name: str
    id: str
    container: str
    container_name: str
    address: str = ""
    prefix: int = 0
    gateway: str = ""
    address6: str = ""
    prefix6: int = 0
    gateway6: str = ""
    mac: str = ""
    interface: str = ""
    host_interface: str = ""
    names: tuple[str, ...] = ()
    planned: str = ""

    @classmethod
    def intended(cls, network: Network, container: tuple[str, str], names: tuple[str, ...] = ()) -> Endpoint:
        """One that is going to be made for a container (id and name)."""
        return cls(network.id, network.name, os.urandom(32).hex(), *container, names=names)

    @property
    def made(self) -> bool:
        """Whether it has come to be; else its addresses and interface may exist, and nobody uses them."""
        return self.interface != ""

    def leaving(self) -> Endpoint:
        """The same before it is taken away."""
        return self._replace(interface="", host_interface="", planned=self.interface)

    @property
    def link(self) -> str:
        """Name that the host's end of a pair has; the kernel takes 15 bytes."""
        return f"lv{self.id[:12]}"


class Publication(NamedTuple):
    """One published port.

    :ivar protocol: ``tcp``, ``udp`` or ``sctp``.
    :ivar host: address on the host that it is reachable at; :data:`ANY` or :data:`ANY6` for all of a version.
    :ivar host_port: the port there. :ivar port: the port in the container.
    """

    protocol: str
    port: int
    host: str
    host_port: int


class Holding(NamedTuple):
    """What a running container has.

    :ivar address: where its published ports lead to.
    :ivar resolver: address in the container that answers for names; ``""`` without.
    """

    endpoints: tuple[Endpoint, ...] = ()
    address: str = ""
    publications: tuple[Publication, ...] = ()
    resolver: str = ""

    def encode(self) -> bytes:
        return json.dumps(self).encode()

    @classmethod
    def decode(cls, raw: bytes) -> Holding:
        """Raises ``ValueError`` or ``TypeError``."""
        endpoints, address, publications, resolver = json.loads(raw)
        found = (Endpoint(*values) for values in endpoints)
        return cls(
            tuple(endpoint._replace(names=tuple(endpoint.names)) for endpoint in found),
            address,
            tuple(Publication(*values) for values in publications),
            resolver,
        )

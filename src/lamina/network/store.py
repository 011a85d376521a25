"""Which networks a data root has, and who has which address.

::

    lamina/network/networks/<id>            one network, JSON
    lamina/network/leases/<id>/<address>    a link whose text is the id of the container that has the address
    lamina/network/sandboxes/<container>    what a running container has of all this: a :class:`Holding`, JSON

A network exists when its file does. An address belongs to whoever made the link of its name, and a network whose
directory of leases can be removed has no endpoints: so nobody needs a lock. Docker keeps the same in
``network/files/local-kv.db``, a database of its own, which is not touched.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator

from lamina import atomicfile, json
from lamina.characters import is_hex
from lamina.contextlib import suppress
from lamina.dataroot import DataRoot
from lamina.errors import Corrupt
from lamina.network.addresses import packed
from lamina.network.contract import (
    ANY,
    BRIDGE,
    PREDEFINED,
    AmbiguousNetwork,
    Endpoint,
    Holding,
    Network,
    NetworkInUse,
    NoSuchNetwork,
    Pool,
)
from lamina.oci import timestamp

#: Where the default bridge is when the root is the one that everybody uses.
DEFAULT_BRIDGE = "lamina0"


class NetworkStore:
    """Networks of one data root. Safe between threads and processes.

    :param is_default: whether this is the root that is used when nobody says otherwise.
    :param options: of the default network, beside Docker's own.
    """

    def __init__(self, root: DataRoot, *, is_default: bool, options: tuple[tuple[str, str], ...] = ()) -> None:
        self._default_options = options
        self._root = root
        self._is_default = is_default
        self._home = root.sub("lamina/network")

    def path(self, *parts: str) -> str:
        return "/".join((self._home, *parts))

    # Networks

    def all(self) -> list[Network]:
        """The predefined ones, made now where they are missing, and all others; in order of names."""
        found = []
        for id in self._ids():
            with suppress(NoSuchNetwork):
                found.append(self._read(id))
        missing = set(PREDEFINED) - {network.name for network in found}
        if missing and not self._root.read_only:
            found += [self.predefined(name) for name in missing]
        return sorted(found, key=lambda network: network.name)

    def find(self, text: str) -> Network:
        """By full id, name, or an unambiguous prefix of an id. Raises :class:`NoSuchNetwork`."""
        if text in PREDEFINED:
            return self.predefined(text)
        if is_hex(text):
            return self._read(text)
        networks = self.all()
        for network in networks:
            if network.name == text:
                return network
        matches = [network for network in networks if text and network.id.startswith(text)]
        if len(matches) > 1:
            raise AmbiguousNetwork(text, len(matches))
        if not matches:
            raise NoSuchNetwork(text)
        return matches[0]

    def predefined(self, name: str) -> Network:
        """``bridge``, ``host`` or ``none``: found by a link of its name, for it is what nearly every start asks for."""
        link = self.path(name)
        try:
            return self._read(os.readlink(link))
        except (FileNotFoundError, NoSuchNetwork):
            pass
        with self._root.lock("networks"):
            try:
                return self._read(os.readlink(link))
            except (FileNotFoundError, NoSuchNetwork):
                pass
            id = os.urandom(32).hex()
            bridge = (DEFAULT_BRIDGE if self._is_default else bridge_name(id)) if name == "bridge" else ""
            network = Network(
                id, name, PREDEFINED[name], timestamp.now(), bridge=bridge, options=_options(name, bridge)
            )
            self.write(network)
            with suppress(FileNotFoundError):
                os.unlink(link)
            os.symlink(id, link)
            return self._read(id)

    def write(self, network: Network) -> None:
        """Make or replace one."""
        os.makedirs(self.path("networks"), 0o700, exist_ok=True)
        os.makedirs(self.path("leases", network.id), 0o700, exist_ok=True)
        document = network._asdict() | {"pools": [pool._asdict() for pool in network.pools]}
        atomicfile.write(self.path("networks", network.id), json.dumps(document).encode() + b"\n", sync=False)

    def remove(self, network: Network) -> None:
        """Raises :class:`NetworkInUse` when somebody has an address."""
        try:
            os.rmdir(self.path("leases", network.id))
        except FileNotFoundError:
            pass
        except OSError as error:
            if error.errno != errno.ENOTEMPTY:
                raise
            raise NetworkInUse(network.name, network.id) from None
        with suppress(FileNotFoundError):
            os.unlink(self.path("networks", network.id))

    def _ids(self) -> list[str]:
        try:
            return [name for name in os.listdir(self.path("networks")) if len(name) == 64]
        except FileNotFoundError:
            return []

    def _read(self, id: str) -> Network:
        path = self.path("networks", id)
        try:
            with open(path, "rb") as file:
                document = json.loads(file.read())
            pools = tuple(Pool(**pool) for pool in document.pop("pools"))
            network = Network(pools=pools, **document)
            if network.driver == BRIDGE and network.predefined:
                network = network._replace(options=_options(network.name, network.bridge) | dict(self._default_options))
            return network
        except FileNotFoundError:
            raise NoSuchNetwork(id) from None
        except (ValueError, TypeError, KeyError) as error:
            raise Corrupt(f"{path}: {error}") from error

    # Leases

    def taken(self, network_id: str) -> set[str]:
        """Addresses that somebody has."""
        try:
            return set(os.listdir(self.path("leases", network_id)))
        except FileNotFoundError:
            return set()

    def lease(self, network: Network, address: str, container: str) -> bool:
        """Take an address; ``False`` when another has it. Raises :class:`NoSuchNetwork`."""
        path = self.path("leases", network.id, address)
        for _ in range(2):
            try:
                os.symlink(container, path)
            except FileExistsError:
                return False
            except FileNotFoundError:
                if not os.path.exists(self.path("networks", network.id)):
                    raise NoSuchNetwork(network.name) from None
                with suppress(FileExistsError):
                    os.makedirs(self.path("leases", network.id), 0o700)
            else:
                return True
        raise NoSuchNetwork(network.name)

    def release(self, network_id: str, address: str) -> None:
        """Idempotent."""
        with suppress(FileNotFoundError):
            os.unlink(self.path("leases", network_id, address))

    def release_all(self, network_id: str, container: str) -> None:
        """Release what a container has of one network. Idempotent."""
        for address in self.taken(network_id):
            if self.holder(network_id, address) == container:
                self.release(network_id, address)

    def holder(self, network_id: str, address: str) -> str:
        """Id of the container that has the address; ``""`` when nobody has."""
        try:
            return os.readlink(self.path("leases", network_id, address))
        except OSError:
            return ""

    def endpoints(self, network_id: str) -> list[Endpoint]:
        """Everybody who is on the network, by their addresses' order."""
        containers = {self.holder(network_id, address) for address in self.taken(network_id)}
        found = [
            endpoint
            for container in containers
            for endpoint in self.holding(container).endpoints
            if endpoint.network == network_id and endpoint.made
        ]
        return sorted(found, key=lambda endpoint: packed(endpoint.address or endpoint.address6))

    # Sandboxes

    def holding(self, container: str) -> Holding:
        """What a container has; nothing when it does not run."""
        try:
            with open(self.path("sandboxes", container), "rb") as file:
                return Holding.decode(file.read())
        except (OSError, ValueError, TypeError, KeyError):
            return Holding()

    def holdings(self) -> Iterator[tuple[str, Holding]]:
        """Of all containers, with their ids."""
        for name in self.holders():
            yield name, self.holding(name)

    def holders(self) -> list[str]:
        """Ids of all containers that have something."""
        try:
            return [name for name in os.listdir(self.path("sandboxes")) if len(name) == 64]
        except FileNotFoundError:
            return []

    def hold(self, container: str, holding: Holding) -> None:
        """Replace what a container has."""
        path = self.path("sandboxes", container)
        try:
            atomicfile.write(path, holding.encode(), sync=False)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
            atomicfile.write(path, holding.encode(), sync=False)

    def forget(self, container: str) -> None:
        """It has nothing. Idempotent."""
        with suppress(FileNotFoundError):
            os.unlink(self.path("sandboxes", container))


def bridge_name(id: str) -> str:
    """A bridge's name for a network's id; an interface's name has at most 15 characters."""
    return f"lm-{id[:12]}"


def _options(name: str, bridge: str) -> dict[str, str]:
    """What Docker says of its default bridge."""
    if PREDEFINED[name] != BRIDGE:
        return {}
    prefix = "com.docker.network.bridge."
    return {
        f"{prefix}default_bridge": "true",
        f"{prefix}enable_icc": "true",
        f"{prefix}enable_ip_masquerade": "true",
        f"{prefix}host_binding_ipv4": ANY,
        f"{prefix}name": bridge,
        "com.docker.network.driver.mtu": "1500",
    }

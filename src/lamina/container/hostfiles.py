"""``hosts``, ``hostname`` and ``resolv.conf`` in ``containers/<id>/``, which are bind-mounted over the container's.

Contents: what Docker 20.10 writes.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from lamina import atomicfile
from lamina.container.record import Container
from lamina.owners import SAME, Owners
from lamina.typing import Any

_HOSTS = (
    "127.0.0.1\tlocalhost\n"
    "::1\tlocalhost ip6-localhost ip6-loopback\n"
    "fe00::0\tip6-localnet\n"
    "ff00::0\tip6-mcastprefix\n"
    "ff02::1\tip6-allnodes\n"
    "ff02::2\tip6-allrouters\n"
)
_LIMIT = 1 << 20
_RESOLV_CONF, _RESOLVED, _STUB = "/etc/resolv.conf", "/run/systemd/resolve/resolv.conf", "nameserver 127.0.0.53"
#: Docker's servers for a host that names none that a container can reach.
_PUBLIC = ("8.8.8.8", "8.8.4.4")
#: The word for the host's address in ``ExtraHosts``.
HOST_GATEWAY = "host-gateway"

#: Member of ``config.v2.json``, file name, and where it is mounted.
FILES = (
    ("ResolvConfPath", "resolv.conf", "/etc/resolv.conf"),
    ("HostnamePath", "hostname", "/etc/hostname"),
    ("HostsPath", "hosts", "/etc/hosts"),
)


def write(container: Container, directory: str, *, gateway: str = "", owners: Owners = SAME) -> None:
    """Write the three files into ``directory`` and their paths into the container's document.

    :param gateway: what ``host-gateway`` in ``ExtraHosts`` means.
    :param owners: the files are the containers' root's.
    """
    host_config = container.host_config
    contents = {
        "hosts": _hosts(host_config, gateway),
        "hostname": f"{container.config['Hostname']}\n",
        "resolv.conf": _resolv_conf(host_config),
    }
    for member, name, _ in FILES:
        path = os.path.join(directory, name)
        _write(path, contents[name])
        if owners.are_mapped:
            os.chown(path, *owners.root)
        container.document[member] = path


def write_network(
    container: Container, addresses: Iterable[str], linked: Iterable[tuple[str, str]], *, gateway: str, server: str
) -> None:
    """Add what is known once the container has its addresses.

    :param linked: address and names of other containers.
    :param server: address that answers for names; ``""`` for the host's.
    """
    own, domain = str(container.config["Hostname"]), container.config.get("Domainname") or ""
    names = f"{own}.{domain} {own}" if domain else own
    lines = [f"{address}\t{words}\n" for address, words in linked]
    lines += [f"{address}\t{names}\n" for address in addresses]
    _write(container.document["HostsPath"], _hosts(container.host_config, gateway) + "".join(lines))
    if server:
        _write(container.document["ResolvConfPath"], _resolv_conf(container.host_config, server))


def _write(path: str, text: str) -> None:
    # Written in place: a container that runs has this very file mounted, not the name.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    try:
        atomicfile.write_all(descriptor, text.encode("utf-8", "surrogateescape"))
    finally:
        os.close(descriptor)


def _hosts(host_config: dict[str, Any], gateway: str) -> str:
    text = _host_file("/etc/hosts") if host_config.get("NetworkMode") == "host" else _HOSTS
    for extra in host_config.get("ExtraHosts") or ():
        name, _, address = str(extra).partition(":")
        if address == HOST_GATEWAY:
            address = gateway
        if address:
            text += f"{address}\t{name}\n"
    return text


def _resolv_conf(host_config: dict[str, Any], server: str = "") -> str:
    """The host's, without servers that only the host can reach; what was asked for in place of its settings."""
    mode = host_config.get("NetworkMode")
    text = _host_file(_RESOLV_CONF)
    if mode != "host" and _STUB in text:
        text = _host_file(_RESOLVED) or text  # systemd's own server listens on the host's loopback alone
    wanted = [[str(value) for value in host_config.get(member) or ()] for member in ("Dns", "DnsSearch", "DnsOptions")]
    if mode == "host" and not any(wanted):
        return text
    servers, search, options = (wanted[0], wanted[1], wanted[2])
    if not any(wanted) and not server:
        kept = [line for line in text.splitlines() if not _is_local(line)]
        if not any(line.split()[:1] == ["nameserver"] for line in kept):
            kept += [f"nameserver {address}" for address in _PUBLIC]
        return "".join(f"{line}\n" for line in kept)
    servers = (
        [server]
        if server
        else servers or [value for value in _values(text, "nameserver") if not value.startswith("127.")]
    )
    search = search or _values(text, "search")
    options = options or _values(text, "options")
    if server and not any(option.startswith("ndots:") for option in options):
        options = [*options, "ndots:0"]
    lines = [f"search {' '.join(search)}"] if search and search != ["."] else []
    lines += [f"nameserver {address}" for address in servers or _PUBLIC]
    lines += [f"options {' '.join(options)}"] if options else []
    return "".join(f"{line}\n" for line in lines)


def _is_local(line: str) -> bool:
    words = line.split()
    return words[:1] == ["nameserver"] and len(words) > 1 and (words[1].startswith("127.") or words[1] == "::1")


def _values(text: str, keyword: str) -> list[str]:
    return [word for line in text.splitlines() if line.split()[:1] == [keyword] for word in line.split()[1:]]


def _host_file(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return file.read(_LIMIT).decode("utf-8", "surrogateescape")
    except OSError:
        return ""

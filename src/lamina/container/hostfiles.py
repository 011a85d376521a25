"""``hosts``, ``hostname`` and ``resolv.conf`` in ``containers/<id>/``, which are bind-mounted over the container's.

Contents: what Docker 20.10 writes for a container with the network ``none`` or ``host``.
"""

from __future__ import annotations

import os
import re
from typing import Any

from lamina import atomicfile
from lamina.container.record import Container

_HOSTS = (
    "127.0.0.1\tlocalhost\n"
    "::1\tlocalhost ip6-localhost ip6-loopback\n"
    "fe00::0\tip6-localnet\n"
    "ff00::0\tip6-mcastprefix\n"
    "ff02::1\tip6-allnodes\n"
    "ff02::2\tip6-allrouters\n"
)
_LIMIT = 1 << 20
_OPTION_LINES = (("Dns", "nameserver"), ("DnsSearch", "search"), ("DnsOptions", "options"))

#: Member of ``config.v2.json``, file name, and where it is mounted.
FILES = (
    ("ResolvConfPath", "resolv.conf", "/etc/resolv.conf"),
    ("HostnamePath", "hostname", "/etc/hostname"),
    ("HostsPath", "hosts", "/etc/hosts"),
)


def write(container: Container, directory: str) -> None:
    """Write the three files into ``directory`` and their paths into the container's document."""
    host_config = container.host_config
    contents = {
        "hosts": _hosts(host_config),
        "hostname": f"{container.config['Hostname']}\n",
        "resolv.conf": _resolv_conf(host_config),
    }
    for member, name, _ in FILES:
        path = os.path.join(directory, name)
        # Written in place: a container that runs has this very file mounted, not the name.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        try:
            atomicfile.write_all(descriptor, contents[name].encode("utf-8", "surrogateescape"))
        finally:
            os.close(descriptor)
        container.document[member] = path


def _hosts(host_config: dict[str, Any]) -> str:
    text = _host_file("/etc/hosts") if host_config.get("NetworkMode") == "host" else _HOSTS
    for extra in host_config.get("ExtraHosts") or ():
        name, _, address = str(extra).partition(":")
        text += f"{address}\t{name}\n"
    return text


def _resolv_conf(host_config: dict[str, Any]) -> str:
    text = _host_file("/etc/resolv.conf")
    for member, keyword in _OPTION_LINES:
        values = [str(value) for value in host_config.get(member) or ()]
        if not values:
            continue
        text = re.sub(rf"^\s*{keyword}\s.*\n?", "", text, flags=re.MULTILINE)
        lines = [f"{keyword} {value}" for value in values] if member == "Dns" else [f"{keyword} {' '.join(values)}"]
        text = "".join(f"{line}\n" for line in lines) + text
    return text


def _host_file(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return file.read(_LIMIT).decode("utf-8", "surrogateescape")
    except OSError:
        return ""

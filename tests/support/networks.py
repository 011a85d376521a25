"""What tests need to know of networks on this machine: bridges and tables that a root left, and places to call from."""

from __future__ import annotations

import subprocess

from lamina.linux import nftables
from lamina.linux.netlink import Rtnetlink
from lamina.network.bridges import table_of

_ALIAS = "lamina "


def remove_idle_bridges(directory: str) -> None:
    """Remove bridges of roots below ``directory`` that nobody is on: like Docker's they outlast their containers."""
    with Rtnetlink() as links:
        found = list(links.links())
        used = {link.master for link in found}
        for link in found:
            path = link.alias.removeprefix(_ALIAS)
            if link.kind == "bridge" and path != link.alias and path.startswith(directory) and link.number not in used:
                links.delete_link(link.name)
                table = table_of(path)
                nftables.run(f"add table inet {table}\ndelete table inet {table}")


def interfaces() -> set[str]:
    """Ends of containers' interfaces that are on this host."""
    with Rtnetlink() as links:
        return {link.name for link in links.links() if link.kind == "veth" and link.name.startswith("lv")}


def rules() -> str:
    """The whole packet filter as text."""
    return subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True, check=True).stdout

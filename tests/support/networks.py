"""What tests need to know of networks on this machine: bridges and tables that a root left, and places to call from."""

from __future__ import annotations

import subprocess
import time
from contextlib import suppress

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
            if link.kind == "bridge" and _is_below(link.alias, directory) and link.number not in used:
                with suppress(OSError):  # the root's own command was faster
                    links.delete_link(link.name)
                table = table_of(link.alias.removeprefix(_ALIAS))
                nftables.run(f"add table inet {table}\ndelete table inet {table}")


def left_below(directory: str, seconds: float = 10) -> list[str]:
    """Bridges of roots below ``directory`` that are still there; those with nobody on are removed.

    What ended just now has some time to go.
    """
    deadline = time.monotonic() + seconds
    while True:
        remove_idle_bridges(directory)
        with Rtnetlink() as links:
            left = [f"{link.name} of {link.alias}" for link in links.links() if _is_below(link.alias, directory)]
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.1)


def _is_below(alias: str, directory: str) -> bool:
    return alias.startswith(f"{_ALIAS}{directory}/")


def interfaces() -> set[str]:
    """Ends of containers' interfaces that are on this host."""
    with Rtnetlink() as links:
        return {link.name for link in links.links() if link.kind == "veth" and link.name.startswith("lv")}


def rules() -> str:
    """The whole packet filter as text."""
    return subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True, check=True).stdout

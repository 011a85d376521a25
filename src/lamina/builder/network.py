"""The network of a build's commands: one namespace on the default bridge, from the first command to the build's end.

The build's warden makes it while the first command's workspace is made, and gives it back: it outlives a build that is
killed. Where both are killed, the lock in the run directory is free, and the next build takes the address back.
"""

from __future__ import annotations

import encodings.ascii
import os

from lamina.container import parts, usernamespace
from lamina.container.rundirectory import RunDirectory
from lamina.contextlib import suppress
from lamina.dataroot import DataRoot
from lamina.errors import Unsupported
from lamina.network import bridges, ipam, ports, sandboxes
from lamina.network.sandboxes import Opened
from lamina.network.service import Networks
from lamina.rootless import network as rootless
from lamina.typing import NamedTuple

#: What the warden needs is loaded before it is forked. An import in there would wait for ever for one that another
#: thread of the build was in the middle of.
_LOADED = (bridges, ipam, ports, sandboxes, rootless, encodings.ascii)
_LINK = "netns"


class Place(NamedTuple):
    """Where commands are put.

    :ivar path: of the namespace to join; ``""`` where there is none.
    :ivar address: theirs. :ivar gateway: the host's for them.
    :ivar problem: why there is none: this process may not make one, or the host can't.
    :ivar user_namespace: path of the one that the network belongs to; ``""`` for this process's.
    """

    path: str = ""
    address: str = ""
    gateway: str = ""
    problem: str = ""
    user_namespace: str = ""


class BuildNetwork:
    """One build's.

    :param id: of the endpoint, as if it were a container's; the journal knows it.
    """

    def __init__(self, networks: Networks, root: DataRoot, id: str) -> None:
        self._networks = networks
        self._root = root.path
        self._owners = root.owners
        self._id = id
        self._opened: Opened | None = None
        self._claim = -1

    def open(self) -> Place:
        """Make it. In a forked process: nothing that another thread had locked is used.

        Raises what ``Networks.open`` raises but for :class:`Unsupported`.
        """
        root = DataRoot.open(self._root, owners=self._owners)
        networks = self._networks = self._networks.on(root)
        directory = RunDirectory(root.sub("lamina", "run", self._id))
        self._claim = directory.claim()
        networks.reclaim()
        user_namespace, user_path = -1, ""
        if self._owners.are_mapped:
            user_namespace, user_path = usernamespace.fresh(self._owners), directory.sub(usernamespace.LINK)
            usernamespace.link_to(user_namespace, user_path)
        name = f"build-{self._id[-12:]}"
        wanted = parts.NetworkWanted(self._id, name, (("bridge", {}, ()),), {}, {}, user_namespace)
        try:
            opened = self._opened = networks.open(wanted)
        except Unsupported as error:
            return Place(problem=str(error))
        path = directory.sub(_LINK)
        os.symlink(f"/proc/{os.getpid()}/fd/{opened.descriptor}", path)
        endpoint = opened.endpoints[0]
        return Place(path, endpoint.address, endpoint.gateway, user_namespace=user_path)

    def close(self) -> None:
        """Give it back; nobody is in it any more. Idempotent."""
        if self._opened is not None:
            os.close(self._opened.descriptor)
            if self._opened.user_namespace >= 0:
                os.close(self._opened.user_namespace)
            self._opened = None
            self._networks.close(self._id)
        if self._claim >= 0:
            RunDirectory(os.path.join(self._root, "lamina", "run", self._id)).remove()
            with suppress(OSError):
                os.close(self._claim)
            self._claim = -1

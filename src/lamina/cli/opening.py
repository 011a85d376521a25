"""How the command line opens an engine: which data root, which configuration."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lamina.cli.command import Context
    from lamina.engine import Engine

#: The host's configuration, with the keys of docker's ``daemon.json``.
CONFIGURATION_FILE = "/etc/lamina/daemon.json"


def open_engine(context: Context) -> Engine:
    """The engine for ``--root``, else ``LAMINA_ROOT``, else ``data-root``, else the user's default root."""
    from lamina.configuration import Configuration
    from lamina.engine import Engine

    configuration = Configuration.load(CONFIGURATION_FILE)
    root = context.root or configuration.data_root or default_root(context.environment)
    return Engine(root, storage_driver=context.storage_driver, configuration=configuration)


def default_root(environment: Mapping[str, str]) -> str:
    """``/var/lib/lamina``; ``$XDG_DATA_HOME/lamina`` for a user who is not root."""
    if os.geteuid() == 0:
        return "/var/lib/lamina"
    data_home = environment.get("XDG_DATA_HOME") or os.path.join(os.path.expanduser("~"), ".local", "share")
    return os.path.join(data_home, "lamina")

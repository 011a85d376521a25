"""How the command line opens an engine: which data root, which configuration, which proxies, which credentials."""

from __future__ import annotations

import os
from collections.abc import Mapping

from lamina.configuration import Configuration, ProxySettings
from lamina.engine import Engine
from lamina.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lamina.cli.command import Context
    from lamina.registry.credentials import Credential

#: The host's configuration, with the keys of docker's ``daemon.json``.
CONFIGURATION_FILE = "/etc/lamina/daemon.json"


class _Credentials:
    """The user's ``config.json``, read by the first request that needs it: most commands speak to no registry."""

    def __init__(self, directory: str) -> None:
        self._directory = directory

    def get(self, host: str) -> Credential | None:
        from lamina.registry.credentials import DockerConfig

        return DockerConfig(self._directory).get(host)


def open_engine(context: Context) -> Engine:
    """The engine for ``--root``, else ``LAMINA_ROOT``, else ``data-root``, else the user's default root."""
    configuration = load_configuration(context.environment)
    return Engine(
        context.root or configuration.data_root or default_root(context.environment),
        storage_driver=context.storage_driver,
        userns_remap=_remapping(context, configuration),
        configuration=configuration,
        credentials=_Credentials(context.docker_config_dir),
    )


def _remapping(context: Context, configuration: Configuration) -> str | None:
    """The flag, else the host's setting, which is not about containers of ordinary users."""
    if context.userns_remap is not None or not configuration.userns_remap:
        return context.userns_remap
    from lamina.linux import userns  # few hosts have it

    return configuration.userns_remap if os.geteuid() == 0 and userns.is_initial() else ""


def load_configuration(environment: Mapping[str, str]) -> Configuration:
    """The host's configuration; proxies that it does not name come from the environment."""
    configuration = Configuration.load(CONFIGURATION_FILE)
    named = configuration.proxies
    proxies = ProxySettings(
        named.http_proxy or _variable(environment, "http_proxy"),
        named.https_proxy or _variable(environment, "https_proxy"),
        named.no_proxy or _variable(environment, "no_proxy"),
    )
    return configuration._replace(proxies=proxies)


def _variable(environment: Mapping[str, str], name: str) -> str:
    return environment.get(name.upper()) or environment.get(name) or ""


def default_root(environment: Mapping[str, str]) -> str:
    """``/var/lib/lamina``; ``$XDG_DATA_HOME/lamina`` for a user who is not root."""
    if os.geteuid() == 0:
        return "/var/lib/lamina"
    data_home = environment.get("XDG_DATA_HOME") or os.path.join(os.path.expanduser("~"), ".local", "share")
    return os.path.join(data_home, "lamina")

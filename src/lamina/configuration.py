"""``daemon.json``: Docker's keys, and a few of our own.

Reference: docker's "dockerd" page, section "Daemon configuration file". A key that Docker knows and lamina has no use
for is accepted, so that an existing file can be used as it stands; a key that neither knows is a typing mistake, and an
error.
"""

from __future__ import annotations

from _socket import AF_INET, AF_INET6, inet_pton
from collections.abc import Callable

from lamina import json
from lamina.errors import InvalidArgument, NotFound
from lamina.typing import Any, NamedTuple

#: Most bytes of a configuration file.
_LIMIT = 1 << 20

_IGNORED_NAMES = """
    allow-direct-routing allow-nondistributable-artifacts api-cors-header authorization-plugins bip6 bridge
    bridge-accept-fwmark builder cdi-spec-dirs cgroup-parent cluster-advertise cluster-store cluster-store-opts
    containerd containerd-namespace containerd-plugin-namespace containerd-plugins-namespace cpu-rt-period
    cpu-rt-runtime cri-containerd debug default-gateway default-gateway-v6 default-network-opts
    disable-legacy-registry exec-opts exec-root experimental features firewall-backend fixed-cidr-v6 group
    host-gateway-ip host-gateway-ips hosts http-proxy https-proxy init-path ip-forward ip-forward-no-drop ip6tables
    iptables ipv6 log-format log-level metrics-addr min-api-version network-control-plane-mtu
    network-diagnostic-port no-proxy node-generic-resources oom-score-adjust pidfile raw-logs restart rootless
    seccomp-profile selinux-enabled shutdown-timeout swarm-default-advertise-addr tls tlscacert tlscert tlskey
    tlsverify userland-proxy userland-proxy-path validate
"""
#: Keys of Docker's that change nothing here.
_IGNORED = frozenset(_IGNORED_NAMES.split())


class InvalidConfiguration(InvalidArgument):
    """The configuration file is not usable."""


class ProxySettings(NamedTuple):
    """``proxies``: URLs, and the hosts that are reached without."""

    http_proxy: str = ""
    https_proxy: str = ""
    no_proxy: str = ""


class Configuration(NamedTuple):
    """One configuration; a field is named as its key with ``_`` for ``-``.

    :ivar registry_mirrors: mirrors of Docker Hub, tried in order before it.
    :ivar registry_mirrors_for: ours: mirrors of any registry, ``{"quay.io": ["https://mirror.example"]}``.
    :ivar keep_blobs: ours: whether ``pull`` keeps the compressed layers, so that a push sends the very same bytes.
    :ivar ca_file: ours: PEM file of certificate authorities to trust besides the system's.
    :ivar bip: address of the default bridge with its network's prefix, ``192.168.1.5/24``; ``fixed_cidr``: the part of
        that network which containers get addresses from; ``mtu``: 0 for the usual one; ``ip``: where ports are
        published that name no address; ``icc``: whether its containers reach each other; ``ip_masq``: whether they
        have the host's address outside.
    :ivar default_cgroupns_mode: ``host``, ``private``, or ``""`` for what suits the host's version of control groups.
    :ivar default_address_pools: ranges (``10.0.0.0/8``) and the prefix of the networks that they are cut into.
    :ivar runtimes: Docker's ``runtimes``: name to the runtime's program.
    """

    data_root: str = ""
    storage_driver: str = ""
    storage_opts: tuple[str, ...] = ()
    registry_mirrors: tuple[str, ...] = ()
    registry_mirrors_for: tuple[tuple[str, tuple[str, ...]], ...] = ()
    insecure_registries: tuple[str, ...] = ()
    max_concurrent_downloads: int = 3
    max_concurrent_uploads: int = 5
    max_download_attempts: int = 5
    proxies: ProxySettings = ProxySettings()
    ca_file: str = ""
    keep_blobs: bool = False
    log_driver: str = "json-file"
    log_opts: tuple[tuple[str, str], ...] = ()
    default_ulimits: tuple[tuple[str, int, int], ...] = ()
    default_runtime: str = ""
    runtimes: tuple[tuple[str, str], ...] = ()
    dns: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    dns_opts: tuple[str, ...] = ()
    default_shm_size: int = 64 << 20
    init: bool = False
    no_new_privileges: bool = False
    default_cgroupns_mode: str = ""
    default_ipc_mode: str = ""
    default_address_pools: tuple[tuple[str, int], ...] = ()
    bip: str = ""
    fixed_cidr: str = ""
    mtu: int = 0
    ip: str = ""
    icc: bool = True
    ip_masq: bool = True
    live_restore: bool = False
    labels: tuple[str, ...] = ()
    userns_remap: str = ""

    @classmethod
    def load(cls, path: str, *, required: bool = False) -> Configuration:
        """Read ``path``; the defaults when it is absent and not ``required``.

        :raises NotFound: it is absent and ``required``.
        :raises InvalidConfiguration: not JSON, an unknown key, or a value of a wrong type or range.
        """
        try:
            with open(path, "rb") as file:
                raw = file.read(_LIMIT + 1)
        except FileNotFoundError:
            if required:
                raise NotFound(f"configuration file {path} does not exist") from None
            return cls()
        except OSError as error:
            raise InvalidConfiguration(f"configuration file {path} can't be read: {error.strerror}") from error
        return cls.parse(raw, path)

    @classmethod
    def parse(cls, raw: bytes, path: str = "daemon.json") -> Configuration:
        """A configuration from the bytes of a file; an empty file is the defaults. Raises as :meth:`load` does."""
        if not raw.strip():
            return cls()
        what = f"unable to configure lamina with file {path}"
        try:
            document = json.loads(raw)
        except (ValueError, RecursionError) as error:
            raise InvalidConfiguration(f"{what}: {error}") from error
        if not isinstance(document, dict):
            raise InvalidConfiguration(f"{what}: not a JSON object")
        return cls(**_Reader(document, what).fields())


#: Every key that a file may have.
KEYS = _IGNORED | {field.replace("_", "-") for field in Configuration._fields}


def _is_range(text: str, size: int) -> bool:
    """Whether it is a range of version 4 that can be cut into networks with a prefix of that size."""
    address, _, prefix = text.partition("/")
    try:
        inet_pton(AF_INET, address)
        return 0 <= int(prefix) <= size <= 30
    except (OSError, ValueError):
        return False


class _Reader:
    """Turns the JSON object into fields, and names what is wrong with it."""

    def __init__(self, document: dict[str, Any], what: str) -> None:
        self._document = document
        self._what = what

    def fields(self) -> dict[str, Any]:
        readers = {
            "data-root": self._text,
            "storage-driver": self._text,
            "storage-opts": self._texts,
            "registry-mirrors": self._texts,
            "registry-mirrors-for": self._lists_by_name,
            "insecure-registries": self._texts,
            "max-concurrent-downloads": self._count,
            "max-concurrent-uploads": self._count,
            "max-download-attempts": self._count,
            "proxies": self._proxies,
            "ca-file": self._text,
            "keep-blobs": self._flag,
            "log-driver": self._text,
            "log-opts": self._text_map,
            "default-ulimits": self._ulimits,
            "default-runtime": self._text,
            "runtimes": self._runtimes,
            "dns": self._texts,
            "dns-search": self._texts,
            "dns-opts": self._texts,
            "default-shm-size": self._size,
            "init": self._flag,
            "no-new-privileges": self._flag,
            "default-cgroupns-mode": self._one_of("", "host", "private"),
            "default-ipc-mode": self._one_of("", "private", "shareable"),
            "default-address-pools": self._address_pools,
            "bip": self._range,
            "fixed-cidr": self._range,
            "mtu": self._number,
            "ip": self._address,
            "icc": self._flag,
            "ip-masq": self._flag,
            "live-restore": self._flag,
            "labels": self._texts,
            "userns-remap": self._text,
        }
        unknown = sorted(key for key in self._document if key not in KEYS)
        if unknown:
            names = ", ".join(unknown)
            raise InvalidConfiguration(
                f"{self._what}: the following directives don't match any configuration option: {names}"
            )
        return {
            key.replace("-", "_"): read(key) for key, read in readers.items() if self._document.get(key) is not None
        }

    def _fail(self, key: str, expected: str) -> InvalidConfiguration:
        return InvalidConfiguration(f"{self._what}: {key!r} must be {expected}")

    def _text(self, key: str) -> str:
        value = self._document[key]
        if not isinstance(value, str):
            raise self._fail(key, "a string")
        return value

    def _one_of(self, *words: str) -> Callable[[str], str]:
        def read(key: str) -> str:
            if self._text(key) not in words:
                raise self._fail(key, " or ".join(filter(None, words)))
            return self._text(key)

        return read

    def _address_pools(self, key: str) -> tuple[tuple[str, int], ...]:
        pools = []
        for value in self._document[key] if isinstance(self._document[key], list) else [None]:
            base, size = (value.get("base"), value.get("size")) if isinstance(value, dict) else (None, None)
            if not isinstance(base, str) or not isinstance(size, int) or not _is_range(base, size):
                raise self._fail(key, 'a list of objects such as {"base": "10.200.0.0/16", "size": 24}')
            pools.append((base, size))
        return tuple(pools)

    def _flag(self, key: str) -> bool:
        value = self._document[key]
        if not isinstance(value, bool):
            raise self._fail(key, "true or false")
        return value

    def _count(self, key: str) -> int:
        value = self._document[key]
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise self._fail(key, "a number of at least 1")
        return value

    def _range(self, key: str) -> str:
        text = self._text(key)
        if text and not _is_range(text, 30):
            raise self._fail(key, "an address with a prefix such as 192.168.1.5/24")
        return text

    def _address(self, key: str) -> str:
        text = self._text(key)
        try:
            if text:
                inet_pton(AF_INET6 if ":" in text else AF_INET, text)
        except (OSError, ValueError):
            raise self._fail(key, "an IP address") from None
        return text

    def _number(self, key: str) -> int:
        value = self._document[key]
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise self._fail(key, "a number")
        return value

    def _size(self, key: str) -> int:
        value = self._document[key]
        if isinstance(value, str) and value:
            number, unit = value.lower().removesuffix("b").removesuffix("i"), 1
            factor = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}.get(number[-1:])
            if factor:
                number, unit = number[:-1], factor
            if number.isdecimal():
                return int(number) * unit
        elif isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return value
        raise self._fail(key, "a size such as 64M")

    def _texts(self, key: str) -> tuple[str, ...]:
        return self._as_texts(key, self._document[key])

    def _as_texts(self, key: str, value: object) -> tuple[str, ...]:
        if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
            raise self._fail(key, "a list of strings")
        return tuple(value)

    def _map(self, key: str) -> dict[str, Any]:
        value = self._document[key]
        if not isinstance(value, dict):
            raise self._fail(key, "an object")
        return value

    def _text_map(self, key: str) -> tuple[tuple[str, str], ...]:
        items = self._map(key).items()
        if not all(isinstance(value, str) for _, value in items):
            raise self._fail(key, "an object of strings")
        return tuple(items)

    def _lists_by_name(self, key: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
        return tuple((name, self._as_texts(key, value)) for name, value in self._map(key).items())

    def _proxies(self, key: str) -> ProxySettings:
        members = dict(self._text_map(key))
        known = ("http-proxy", "https-proxy", "no-proxy")
        for name in members:
            if name not in known:
                raise self._fail(key, f"an object with {', '.join(known)}; {name!r} is none of them")
        return ProxySettings(*(members.get(name, "") for name in known))

    def _runtimes(self, key: str) -> tuple[tuple[str, str], ...]:
        runtimes = []
        for name, value in self._map(key).items():
            program = value.get("path") if isinstance(value, dict) else None
            if isinstance(value, dict) and "path" not in value and isinstance(value.get("runtimeType"), str):
                continue  # a containerd shim: nothing here can run one
            if not isinstance(program, str):
                raise self._fail(key, 'an object such as {"name": {"path": "/usr/bin/crun"}}')
            runtimes.append((name, program))
        return tuple(runtimes)

    def _ulimits(self, key: str) -> tuple[tuple[str, int, int], ...]:
        limits = []
        for name, value in self._map(key).items():
            soft = value.get("Soft") if isinstance(value, dict) else None
            hard = value.get("Hard") if isinstance(value, dict) else None
            if not isinstance(soft, int) or not isinstance(hard, int):
                raise self._fail(key, 'an object such as {"nofile": {"Name": "nofile", "Soft": 64, "Hard": 128}}')
            limits.append((name, soft, hard))
        return tuple(limits)

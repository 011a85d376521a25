"""``daemon.json``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lamina.configuration import Configuration, InvalidConfiguration, ProxySettings
from lamina.errors import NotFound
from lamina.network.contract import DefaultBridge, Pool


def parse(**document: Any) -> Configuration:
    return Configuration.parse(json.dumps({key.replace("_", "-"): value for key, value in document.items()}).encode())


#: Docker's keys by the kind of value they take.
_TEXTS = """
    bip bip6 bridge bridge-accept-fwmark cgroup-parent containerd containerd-namespace containerd-plugin-namespace
    data-root default-cgroupns-mode default-gateway default-gateway-v6 default-runtime exec-root firewall-backend
    fixed-cidr fixed-cidr-v6 group host-gateway-ip init-path ip log-driver log-format log-level metrics-addr pidfile
    seccomp-profile storage-driver swarm-default-advertise-addr tlscacert tlscert tlskey userland-proxy-path
    userns-remap
"""
_FLAGS = """
    allow-direct-routing debug experimental icc init ip-forward ip-forward-no-drop ip-masq ip6tables iptables ipv6
    no-new-privileges raw-logs selinux-enabled tls tlsverify userland-proxy
"""
_LISTS = """
    authorization-plugins cdi-spec-dirs default-address-pools dns dns-opts dns-search exec-opts host-gateway-ips hosts
    insecure-registries labels node-generic-resources registry-mirrors storage-opts
"""
_NUMBERS = """
    cpu-rt-period cpu-rt-runtime max-concurrent-downloads max-concurrent-uploads max-download-attempts mtu
    oom-score-adjust shutdown-timeout
"""
_DOCUMENTED: dict[str, Any] = {
    **dict.fromkeys(_TEXTS.split(), ""),
    **dict.fromkeys(_FLAGS.split(), False),
    **{key: [] for key in _LISTS.split()},
    **dict.fromkeys(_NUMBERS.split(), 15),
    "builder": {"gc": {"enabled": True}},
    "default-network-opts": {},
    "default-shm-size": "64M",
    "default-ulimits": {"nofile": {"Hard": 64000, "Name": "nofile", "Soft": 64000}},
    "features": {"containerd-snapshotter": True},
    "live-restore": True,
    "log-opts": {"cache-disabled": "false", "max-file": "5", "max-size": "10m"},
    "proxies": {"http-proxy": "http://proxy.example:80", "https-proxy": "", "no-proxy": "*.test.example"},
    "runtimes": {
        "cc-runtime": {"runtimeType": "io.containerd.runsc.v1", "options": {"TypeUrl": "x"}},
        "custom": {"path": "/usr/local/bin/my-runc-replacement", "runtimeArgs": ["--debug"]},
    },
}


def test_an_absent_or_empty_file_gives_the_defaults(tmp_path: Path) -> None:
    assert Configuration.load(str(tmp_path / "daemon.json")) == Configuration()
    assert Configuration.parse(b" \n") == Configuration()
    with pytest.raises(NotFound):
        Configuration.load(str(tmp_path / "daemon.json"), required=True)


def test_dockers_keys_are_read(tmp_path: Path) -> None:
    path = tmp_path / "daemon.json"
    path.write_text(
        """{
        "data-root": "/data", "storage-driver": "vfs", "registry-mirrors": ["https://mirror.example"],
        "insecure-registries": ["10.0.0.0/8"], "max-concurrent-downloads": 7,
        "log-opts": {"max-size": "10m"}, "default-shm-size": "128M",
        "proxies": {"http-proxy": "http://proxy:3128", "no-proxy": "*.example"},
        "default-ulimits": {"nofile": {"Name": "nofile", "Soft": 64, "Hard": 128}},
        "runtimes": {"runc": {"path": "/usr/sbin/runc"}},
        "registry-mirrors-for": {"quay.io": ["https://quay.example"]}, "keep-blobs": true
        }"""
    )
    configuration = Configuration.load(str(path))
    assert configuration.data_root == "/data"
    assert configuration.storage_driver == "vfs"
    assert configuration.registry_mirrors == ("https://mirror.example",)
    assert configuration.insecure_registries == ("10.0.0.0/8",)
    assert configuration.max_concurrent_downloads == 7
    assert configuration.max_concurrent_uploads == 5
    assert configuration.log_opts == (("max-size", "10m"),)
    assert configuration.default_shm_size == 128 << 20
    assert configuration.proxies == ProxySettings("http://proxy:3128", "", "*.example")
    assert configuration.default_ulimits == (("nofile", 64, 128),)
    assert configuration.runtimes == (("runc", "/usr/sbin/runc"),)
    assert configuration.registry_mirrors_for == (("quay.io", ("https://quay.example",)),)
    assert configuration.keep_blobs


def test_keys_of_dockers_that_change_nothing_here_are_accepted() -> None:
    assert parse(hosts=["unix:///run/docker.sock"], debug=True, iptables=False, experimental=True) == Configuration()
    assert Configuration.parse(b'{"userland-proxy": true, "host-gateway-ips": []}') == Configuration()


def test_the_default_bridge_has_what_the_file_says() -> None:
    assert DefaultBridge.of(Configuration()) == DefaultBridge()
    found = DefaultBridge.of(
        parse(bip="192.168.77.1/25", fixed_cidr="192.168.77.64/26", mtu=1400, ip="127.0.0.1", icc=False, ip_masq=False)
    )
    assert found.pool == Pool("192.168.77.1/25", "192.168.77.1", range="192.168.77.64/26")
    assert dict(found.options) == {
        "com.docker.network.driver.mtu": "1400",
        "com.docker.network.bridge.host_binding_ipv4": "127.0.0.1",
        "com.docker.network.bridge.enable_icc": "false",
        "com.docker.network.bridge.enable_ip_masquerade": "false",
    }
    for wrong in ({"bip": "192.168.77.1"}, {"bip": "x/24"}, {"ip": "x"}, {"mtu": "1400"}, {"icc": "false"}):
        with pytest.raises(InvalidConfiguration, match="must be"):
            parse(**wrong)


def test_ranges_for_networks_and_modes_are_checked() -> None:
    pools = [{"base": "10.200.0.0/16", "size": 24}, {"base": "10.9.0.0/24", "size": 24}]
    assert parse(default_address_pools=pools).default_address_pools == (("10.200.0.0/16", 24), ("10.9.0.0/24", 24))
    for wrong in (
        {"base": "10.0.0.0/16", "size": 8},
        {"base": "x/8", "size": 9},
        {"base": "10.0.0.0"},
        {"size": 9},
        "x",
    ):
        with pytest.raises(InvalidConfiguration, match="'default-address-pools' must be a list of objects such as"):
            parse(default_address_pools=[wrong])
    assert parse(default_ipc_mode="shareable", default_cgroupns_mode="private").default_ipc_mode == "shareable"
    with pytest.raises(InvalidConfiguration, match="'default-cgroupns-mode' must be host or private"):
        parse(default_cgroupns_mode="x")


def test_all_that_dockers_manual_lists_is_accepted() -> None:
    """Source: docker's ``dockerd`` page, section "Daemon configuration file", the full example for Linux."""
    configuration = Configuration.parse(json.dumps(_DOCUMENTED).encode())
    assert configuration.runtimes == (("custom", "/usr/local/bin/my-runc-replacement"),)
    assert configuration.default_shm_size == 64 << 20
    assert configuration.live_restore


def test_an_unknown_key_is_named() -> None:
    with pytest.raises(InvalidConfiguration, match="don't match any configuration option: data-rot, zzz"):
        parse(data_rot="/data", zzz=1)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("data_root", 1),
        ("registry_mirrors", "https://mirror.example"),
        ("insecure_registries", [1]),
        ("max_concurrent_downloads", 0),
        ("max_concurrent_downloads", True),
        ("keep_blobs", "yes"),
        ("log_opts", {"max-file": 3}),
        ("proxies", {"ftp-proxy": "x"}),
        ("default_shm_size", "much"),
        ("default_ulimits", {"nofile": 64}),
        ("runtimes", {"runc": "/usr/sbin/runc"}),
    ],
)
def test_a_value_of_a_wrong_type_names_its_key(key: str, value: Any) -> None:
    with pytest.raises(InvalidConfiguration, match=key.replace("_", "-")):
        parse(**{key: value})


@pytest.mark.parametrize("raw", [b"{", b"[]", b"\xff", b"[" * 100_000])
def test_a_file_that_is_no_json_object_is_refused(raw: bytes) -> None:
    with pytest.raises(InvalidConfiguration, match="unable to configure"):
        Configuration.parse(raw)

"""Names, addresses and ports."""

from __future__ import annotations

from lamina.cli.command import CommandError, Options
from lamina.cli.flags import Flag, switch, text, texts
from lamina.typing import Any

_HOST_GATEWAY = "host-gateway"
NO_NAMES = "aardvark-dns is not installed: containers on this network will not find each other by name"


def _extra_host(value: str) -> str:
    name, colon, address = value.partition(":")
    if not colon or not name:
        raise ValueError(f'bad format for add-host: "{value}"')
    if address != _HOST_GATEWAY and not _is_address(address.strip("[]")):
        raise ValueError(f'invalid IP address in add-host: "{address}"')
    return f"{name}:{address.strip('[]')}"


def _server(value: str) -> str:
    if not _is_address(value.strip()):
        raise ValueError(f"{value} is not an ip address")
    return value.strip()


def _is_address(value: str) -> bool:
    from lamina.network.addresses import is_address  # few containers need it

    return is_address(value)


def _network(value: str) -> dict[str, Any]:
    """``NAME``, or ``name=NAME,alias=...,ip=...`` as an entry of ``EndpointsConfig`` with its name."""
    if "=" not in value:
        return {"name": value}
    wanted: dict[str, Any] = {"name": ""}
    for pair in value.split(","):
        key, equals, word = pair.partition("=")
        if not equals:
            raise ValueError(f"invalid key/value pair format in network options: {pair}")
        match key.strip().lower():
            case "name":
                wanted["name"] = word
            case "alias":
                wanted.setdefault("Aliases", []).append(word)
            case "ip":
                wanted.setdefault("IPAMConfig", {})["IPv4Address"] = word
            case "ip6":
                wanted.setdefault("IPAMConfig", {})["IPv6Address"] = word
            case "link-local-ip":
                wanted.setdefault("IPAMConfig", {}).setdefault("LinkLocalIPs", []).append(word)
            case "driver-opt":
                option, _, setting = word.partition("=")
                wanted.setdefault("DriverOpts", {})[option] = setting
            case other:
                raise ValueError(f"invalid field key {other}")
    if not wanted["name"]:
        raise ValueError("network name/id is not specified")
    return wanted


FLAGS: tuple[Flag, ...] = (
    texts("add-host", "Add a custom host-to-IP mapping (host:ip)", parse=_extra_host),
    texts("dns", "Set custom DNS servers", parse=_server),
    texts("dns-opt", "", hidden=True, into="dns-option"),
    texts("dns-option", "Set DNS options"),
    texts("dns-search", "Set custom DNS search domains"),
    text("domainname", "Container NIS domain name"),
    texts("expose", "Expose a port or a range of ports"),
    text("hostname", "Container host name", short="h"),
    text("ip", "IPv4 address (e.g., 172.30.100.104)"),
    text("ip6", "IPv6 address (e.g., 2001:db8::33)"),
    texts("link", "Add link to another container"),
    texts("link-local-ip", "Container IPv4/IPv6 link-local addresses"),
    text("mac-address", "Container MAC address (e.g., 92:d0:c6:0a:29:33)"),
    texts("net", "", hidden=True, into="network", parse=_network),
    texts("net-alias", "", hidden=True, into="network-alias"),
    texts("network", "Connect a container to a network", type_name="network", parse=_network),
    texts("network-alias", "Add network-scoped alias for the container"),
    texts("publish", "Publish a container's port(s) to the host", short="p"),
    switch("publish-all", "Publish all exposed ports to random ports", short="P"),
)


def config(options: Options) -> dict[str, Any]:
    result: dict[str, Any] = {"Hostname": options.text("hostname"), "Domainname": options.text("domainname")}
    if options.texts("publish") or options.texts("expose"):
        from lamina.cli.container import portflags  # few containers need it

        published = portflags.published(options.texts("publish"))
        result["ExposedPorts"] = {**published.exposed, **portflags.exposed(options.texts("expose"))}
    if options.text("mac-address"):
        from lamina.errors import InvalidArgument
        from lamina.network.addresses import mac_bytes

        try:
            mac_bytes(options.text("mac-address"))
        except InvalidArgument:
            raise CommandError(f"{options.text('mac-address')} is not a valid mac address") from None
        result["MacAddress"] = options.text("mac-address")
    return result


def host_config(options: Options) -> dict[str, Any]:
    networks = _networks(options)
    result: dict[str, Any] = {
        "NetworkMode": networks[0]["name"] if networks else "default",
        "PublishAllPorts": options.on("publish-all"),
        "Dns": options.texts("dns"),
        "DnsSearch": options.texts("dns-search"),
        "DnsOptions": options.texts("dns-option"),
        "ExtraHosts": options.texts("add-host") or None,
        "Links": options.texts("link") or None,
    }
    if options.texts("publish"):
        from lamina.cli.container import portflags  # few containers need it

        result["PortBindings"] = portflags.published(options.texts("publish")).bindings
    return result


def endpoints(options: Options) -> dict[str, Any]:
    """``NetworkingConfig.EndpointsConfig``: what the container wants on each of its networks."""
    networks = _networks(options)
    if not networks:  # docker asks for nothing then, whatever the other flags say
        return {}
    found: dict[str, Any] = {one["name"]: {key: one[key] for key in one if key != "name"} for one in networks}
    wanted = found[networks[0]["name"]]
    if wanted.get("Aliases") and options.texts("network-alias"):
        raise CommandError("conflicting options: cannot specify both --network-alias and per-network alias")
    addresses = {
        "IPv4Address": options.text("ip"),
        "IPv6Address": options.text("ip6"),
        "LinkLocalIPs": options.texts("link-local-ip"),
    }
    if any(addresses.values()):
        wanted["IPAMConfig"] = wanted.get("IPAMConfig", {}) | {key: value for key, value in addresses.items() if value}
    if options.texts("network-alias"):
        wanted["Aliases"] = options.texts("network-alias")
    if options.texts("link") and networks[0]["name"] != "default":
        wanted["Links"] = options.texts("link")
    for name, one in found.items():
        if not _is_user_defined(name) and one.get("Aliases"):
            raise CommandError("network-scoped aliases are only supported for user-defined networks")
        if not _is_user_defined(name) and one.get("Links"):
            raise CommandError("links are only supported for user-defined networks")
    return found


def _is_user_defined(mode: str) -> bool:
    return mode not in ("default", "bridge", "host", "none") and not mode.startswith("container:")


def _networks(options: Options) -> list[dict[str, Any]]:
    networks: list[dict[str, Any]] = [dict(one) for one in options.value("network")]  # type: ignore[attr-defined] # a list, by the flag's kind
    names = [one["name"] for one in networks]
    if len(names) > 1 and any(name in ("host", "none") or name.startswith("container:") for name in names):
        raise CommandError("conflicting options: cannot attach both user-defined and non-user-defined network-modes")
    for name in names:
        if not name.strip():
            raise CommandError("no name set for network")
        if names.count(name) > 1:
            raise CommandError(f'network "{name}" is specified multiple times')
    return networks


def advice(mode: str) -> list[str]:
    """Warnings for the user of a container in that network mode."""
    if not _is_user_defined(mode):
        return []
    from lamina.network import naming  # few containers need it

    return [] if naming.program() else [NO_NAMES]

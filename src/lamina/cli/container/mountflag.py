"""``--mount type=bind,source=/host,target=/container,readonly``: docker's comma-separated notation."""

from __future__ import annotations

from lamina.cli.flags import parse_boolean
from lamina.typing import Any

_SIZES = {"b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
#: Docker's order.
_VOLUME_OPTIONS = ("NoCopy", "Labels", "Subpath", "DriverConfig")
_KEYS_WITHOUT_VALUE = ("readonly", "ro", "volume-nocopy", "bind-nonrecursive")


def parse_mount(value: str) -> dict[str, Any]:
    """A member of ``HostConfig.Mounts``. Raises ``ValueError`` with docker's reason."""
    mount: dict[str, Any] = {"Type": "volume"}
    for field in _fields(value):
        key, equals, text = field.partition("=")
        key = key.strip().lower()
        if not equals and key not in _KEYS_WITHOUT_VALUE:
            raise ValueError(f"invalid field '{field}' must be a key=value pair")
        _set(mount, key, text if equals else "true", field)
    _check(mount)
    if "VolumeOptions" in mount:
        options = mount["VolumeOptions"]
        mount["VolumeOptions"] = {key: options[key] for key in _VOLUME_OPTIONS if key in options}
    return mount


def _fields(value: str) -> list[str]:
    """Comma-separated, with double quotes around fields that hold commas."""
    import csv

    try:
        return next(csv.reader([value], strict=True))
    except (csv.Error, StopIteration) as error:
        raise ValueError(str(error) or "EOF") from None


def _set(mount: dict[str, Any], key: str, text: str, field: str) -> None:
    if key == "type":
        mount["Type"] = text.lower()
    elif key in ("source", "src"):
        mount["Source"] = text
    elif key in ("target", "dst", "destination"):
        mount["Target"] = text
    elif key in ("readonly", "ro"):
        mount["ReadOnly"] = _boolean(key, text)
    elif key == "consistency":
        mount["Consistency"] = text.lower()
    elif key == "bind-propagation":
        mount.setdefault("BindOptions", {})["Propagation"] = text.lower()
    elif key == "volume-nocopy":
        _volume_options(mount)["NoCopy"] = _boolean(key, text)
    elif key == "volume-subpath":
        options = _volume_options(mount)
        if text:
            options["Subpath"] = text
    elif key == "volume-label":
        name, _, label = text.partition("=")
        _volume_options(mount).setdefault("Labels", {})[name] = label
    elif key == "volume-driver":
        _volume_options(mount)["DriverConfig"]["Name"] = text
    elif key == "volume-opt":
        name, _, option = text.partition("=")
        _volume_options(mount)["DriverConfig"].setdefault("Options", {})[name] = option
    elif key == "tmpfs-size":
        mount.setdefault("TmpfsOptions", {})["SizeBytes"] = _size(key, text)
    elif key == "tmpfs-mode":
        mount.setdefault("TmpfsOptions", {})["Mode"] = _mode(key, text)
    else:
        raise ValueError(f"unexpected key '{key}' in '{field}'")


def _volume_options(mount: dict[str, Any]) -> dict[str, Any]:
    """docker's client sends an empty driver with any of them."""
    options: dict[str, Any] = mount.setdefault("VolumeOptions", {"DriverConfig": {}})
    return options


def _check(mount: dict[str, Any]) -> None:
    if not mount.get("Target"):
        raise ValueError("target is required")
    for options, kind in (("VolumeOptions", "volume"), ("BindOptions", "bind"), ("TmpfsOptions", "tmpfs")):
        if options in mount and mount["Type"] != kind:
            raise ValueError(f"cannot mix '{kind}-*' options with mount type '{mount['Type']}'")


def _boolean(key: str, text: str) -> bool:
    try:
        return parse_boolean(text)
    except ValueError:
        raise ValueError(f"invalid value for {key}: {text}") from None


def _size(key: str, text: str) -> int:
    number = text.lower().removesuffix("b").removesuffix("i")
    unit = _SIZES.get(number[-1:], 0)
    try:
        return int(float(number[:-1]) * unit) if unit else int(float(number))
    except ValueError:
        raise ValueError(f"invalid value for {key}: {text}") from None


def _mode(key: str, text: str) -> int:
    try:
        return int(text, 8)
    except ValueError:
        raise ValueError(f"invalid value for {key}: {text}") from None

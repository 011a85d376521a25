"""Platforms and the choice among them (image-spec ``image-index.md``; containerd's ``platforms`` package)."""

from __future__ import annotations

import os

from lamina.errors import InvalidArgument
from lamina.oci.document import InvalidDocument, member
from lamina.typing import Any, NamedTuple

_ARCHITECTURES = {
    "x86_64": "amd64",
    "x86-64": "amd64",
    "aarch64": "arm64",
    "i386": "386",
    "i486": "386",
    "i586": "386",
    "i686": "386",
    "armhf": "arm",
    "armel": "arm",
    "loongarch64": "loong64",
}
_VARIANTS = {"armhf": "v7", "armel": "v6", "armv7l": "v7", "armv6l": "v6", "armv5l": "v5"}


class Platform(NamedTuple):
    """``os/architecture[/variant]``, normalised: ``arm64`` without ``v8``, ``arm`` with ``v7`` by default."""

    os: str
    architecture: str
    variant: str = ""
    os_version: str = ""
    os_features: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.os}/{self.architecture}" + (f"/{self.variant}" if self.variant else "")

    def to_json(self) -> dict[str, Any]:
        out: dict[str, Any] = {"architecture": self.architecture, "os": self.os}
        if self.os_version:
            out["os.version"] = self.os_version
        if self.os_features:
            out["os.features"] = list(self.os_features)
        if self.variant:
            out["variant"] = self.variant
        return out

    @classmethod
    def parse(cls, value: object, what: str) -> Platform:
        """From parsed JSON. Raises :class:`InvalidDocument`."""
        if not isinstance(value, dict):
            raise InvalidDocument(f"{what}: a platform is not an object")
        features = member(value, "os.features", list, what, [])
        return normalise(
            cls(
                member(value, "os", str, what, ""),
                member(value, "architecture", str, what, ""),
                member(value, "variant", str, what, ""),
                member(value, "os.version", str, what, ""),
                tuple(str(feature) for feature in features),
            )
        )


def normalise(platform: Platform) -> Platform:
    """Canonical names: ``x86_64`` is ``amd64``, ``arm64/v8`` is ``arm64``, ``arm`` is ``arm/v7``."""
    architecture = platform.architecture.lower()
    variant = platform.variant.lower() or _VARIANTS.get(architecture, "")
    if architecture.startswith("armv") and architecture != "armv8":
        architecture = "arm"
    architecture = _ARCHITECTURES.get(architecture, architecture)
    if architecture == "arm64" and variant in ("v8", "8"):
        variant = ""
    elif architecture == "arm":
        variant = {"": "v7", "5": "v5", "6": "v6", "7": "v7", "8": "v8"}.get(variant, variant)
    elif architecture == "amd64" and variant == "v1":
        variant = ""
    return platform._replace(os=platform.os.lower() or "linux", architecture=architecture, variant=variant)


def from_text(text: str) -> Platform:
    """``linux/arm64/v8``, ``linux/amd64``, ``arm64`` or ``linux`` as ``--platform`` takes it.

    :raises InvalidArgument: more than three parts or an empty one.
    """
    parts = text.split("/")
    if len(parts) > 3:
        raise InvalidArgument(f'"{text}": cannot parse platform specifier: invalid argument')
    if not all(parts):
        raise InvalidArgument(f'"{text}": unknown operating system or architecture: invalid argument')
    here = host()
    if len(parts) == 1:
        known_os = parts[0].lower() in ("linux", "windows", "darwin", "freebsd")
        if known_os:
            return here._replace(os=parts[0].lower())
        return normalise(Platform(here.os, parts[0]))
    return normalise(Platform(parts[0], parts[1], parts[2] if len(parts) == 3 else ""))


def host() -> Platform:
    """The platform that this process runs on."""
    return normalise(Platform("linux", os.uname().machine))


def acceptable(wanted: Platform) -> list[Platform]:
    """What runs on ``wanted``, best first: an ``arm`` machine runs every lower variant, ``arm64`` runs ``arm``."""
    candidates = [wanted]
    if wanted.architecture == "arm64":
        candidates += [wanted._replace(architecture="arm", variant=v) for v in ("v8", "v7", "v6", "v5")]
    elif wanted.architecture == "arm":
        order = ("v8", "v7", "v6", "v5")
        start = order.index(wanted.variant) + 1 if wanted.variant in order else len(order)
        candidates += [wanted._replace(variant=v) for v in order[start:]]
    elif wanted.architecture == "amd64":
        level = int(wanted.variant[1:]) if wanted.variant[1:].isdigit() else 1
        candidates += [wanted._replace(variant=f"v{n}" if n > 1 else "") for n in range(level - 1, 0, -1)]
    return candidates


def matches(wanted: Platform, offered: Platform) -> int | None:
    """How well ``offered`` serves ``wanted``: 0 is best, ``None`` not at all."""
    for rank, candidate in enumerate(acceptable(wanted)):
        if (candidate.os, candidate.architecture, candidate.variant) == (
            offered.os,
            offered.architecture,
            offered.variant,
        ):
            return rank
    return None

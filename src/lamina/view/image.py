"""Images as the Engine API's documents (1.41, docker 20.10)."""

from __future__ import annotations

from collections.abc import Sequence

from lamina.digest import ImageID
from lamina.image.contract import Image, ImageSummary
from lamina.oci import dockerconfig, timestamp
from lamina.reference import Reference
from lamina.typing import Any

#: What the API says for an image without a name.
NO_TAG = "<none>:<none>"
NO_DIGEST = "<none>@<none>"


def summary(image: ImageSummary, parent: ImageID | None, names: Sequence[str]) -> dict[str, Any]:
    """One element of ``GET /images/json``; ``names`` are the image's names in familiar form, sorted."""
    tags = [name for name in names if "@" not in name]
    digests = [name for name in names if "@" in name]
    return {
        "Containers": -1,
        "Created": image.created // timestamp.SECOND,
        "Id": str(image.id),
        "Labels": image.labels,
        "ParentId": str(parent or ""),
        "RepoDigests": (digests or None) if names else [NO_DIGEST],
        "RepoTags": (tags or None) if names else [NO_TAG],
        "SharedSize": -1,
        "Size": image.size,
        "VirtualSize": image.size,
    }


def inspect(
    image: Image, references: Sequence[Reference], size: int, graph_driver: tuple[str, dict[str, str] | None]
) -> dict[str, Any]:
    """``GET /images/{name}/json``.

    :param graph_driver: the driver's name and what it says of the top layer; ``None`` for an image without layers.
    """
    document = image.config.document
    driver_name, driver_data = graph_driver
    history = image.config.history
    out: dict[str, Any] = {
        "Id": str(image.id),
        "RepoTags": [reference.familiar for reference in references if reference.digest is None],
        "RepoDigests": [reference.familiar for reference in references if reference.digest is not None],
        "Parent": str(image.parent or ""),
        "Comment": _text(document, "comment") or (history[-1].comment if history else ""),
        "Created": timestamp.marshalled(image.config.created),
        "Container": _text(document, "container"),
        "ContainerConfig": dockerconfig.complete(_object(document, "container_config")),
        "DockerVersion": _text(document, "docker_version"),
        "Author": _text(document, "author"),
        "Config": dockerconfig.complete(image.config.config) if document.get("config") is not None else None,
        "Architecture": _text(document, "architecture") or image.config.platform.architecture,
    }
    if _text(document, "variant"):
        out["Variant"] = document["variant"]
    out["Os"] = _text(document, "os") or "linux"
    if _text(document, "os.version"):
        out["OsVersion"] = document["os.version"]
    out["Size"] = out["VirtualSize"] = size
    out["GraphDriver"] = {"Data": driver_data, "Name": driver_name}
    out["RootFS"] = {"Type": "layers"}
    if image.config.diff_ids:
        out["RootFS"]["Layers"] = [str(diff_id) for diff_id in image.config.diff_ids]
    out["Metadata"] = {"LastTagTime": timestamp.marshalled(image.last_updated)}
    return out


def _text(document: dict[str, Any], key: str) -> str:
    value = document.get(key)
    return value if isinstance(value, str) else ""


def _object(document: dict[str, Any], key: str) -> dict[str, Any]:
    value = document.get(key)
    return value if isinstance(value, dict) else {}

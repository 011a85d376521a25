"""Version 1 images inside ``docker save`` archives: one directory for each layer, named by a hash of what it holds.

Docker before 1.10 knew images as chains of such directories. Docker still writes them, and derives the names so that
an image has the same ones wherever it is saved. Source: Docker Engine 20.10, ``image/v1`` and ``image/tarexport``, seen
from outside in its archives; ``tests/compat`` compares byte for byte.
"""

from __future__ import annotations

from lamina.digest import Digest, chain_ids
from lamina.oci import dockerconfig, gojson, timestamp
from lamina.oci.image import ImageConfig
from lamina.typing import Any, NamedTuple

_EPOCH = "1970-01-01T00:00:00Z"


class LegacyLayer(NamedTuple):
    """One directory of the archive.

    :ivar id: its name, 64 hex digits.
    :ivar json: content of its ``json`` file.
    """

    id: str
    json: bytes


def layers(config: ImageConfig) -> list[LegacyLayer]:
    """The directories for ``config``'s layers, bottom first. Only the top one carries the image's own parameters."""
    made: list[LegacyLayer] = []
    parent = ""
    chain = chain_ids(config.diff_ids)
    for number, chain_id in enumerate(chain):
        top = number == len(chain) - 1
        document = _top_document(config.document) if top else _lower_document()
        own = _create_id(document, str(chain_id), parent)
        head = {"id": own, **({"parent": parent} if parent else {})}
        _copy_text(config.document, document, "os")  # not part of what the ID covers in the layers below the top
        made.append(LegacyLayer(own, gojson.encode({**head, **document})))
        parent = own
    return made


def _create_id(document: dict[str, Any], layer_id: str, parent: str) -> str:
    members = {**document, "layer_id": layer_id}
    if parent:
        members["parent"] = f"sha256:{parent}"
    return Digest.of(gojson.encode({key: members[key] for key in sorted(members)})).hex


def _lower_document() -> dict[str, Any]:
    return {"created": _EPOCH, "container_config": dockerconfig.complete({})}


def _top_document(image: dict[str, Any]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    _copy_text(image, out, "comment")
    out["created"] = timestamp.marshalled(image.get("created") or "")
    _copy_text(image, out, "container")
    out["container_config"] = dockerconfig.complete(image.get("container_config") or {})
    _copy_text(image, out, "docker_version", "author")
    if image.get("config") is not None:
        out["config"] = dockerconfig.complete(image["config"])
    _copy_text(image, out, "architecture", "variant", "os")
    if isinstance(image.get("Size"), int) and image["Size"]:
        out["Size"] = image["Size"]
    return out


def _copy_text(image: dict[str, Any], out: dict[str, Any], *names: str) -> None:
    for name in names:
        if isinstance(image.get(name), str) and image[name]:
            out[name] = image[name]

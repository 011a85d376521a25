"""``docker commit``: a container's changes as an image."""

from __future__ import annotations

from collections.abc import Sequence

from lamina import events
from lamina.container import configuring, controlgroup, opening
from lamina.container.parts import Parts
from lamina.container.record import Container
from lamina.digest import DiffID, ImageID
from lamina.dockerfile import changes as instructions
from lamina.image.contract import Image
from lamina.layer.contract import UnpackResult
from lamina.oci import dockerconfig, gojson, timestamp
from lamina.reference import Reference
from lamina.runtime import cgroup
from lamina.typing import Any, NamedTuple

#: DiffID of a tar without entries: 1024 zero bytes.
EMPTY = "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"


class CommitRequest(NamedTuple):
    """What to make of the container.

    :ivar changes: Dockerfile instructions.
    :ivar pause: stop its processes meanwhile, so that files are not caught half written.
    """

    author: str = ""
    comment: str = ""
    changes: Sequence[str] = ()
    pause: bool = True
    reference: Reference | None = None


def commit(parts: Parts, container: Container, request: CommitRequest) -> Image:
    """Make the image, and give it the name; nothing is left of one that fails."""
    parent = parts.images.get(ImageID(container.image_id))
    changed = instructions.apply(container.config, request.changes) if request.changes else {}
    config = configuring.merge(changed, container.config) if changed else container.config
    frozen = request.pause and container.running and not container.state["Paused"]
    path = controlgroup.of(container)
    if frozen:
        cgroup.freeze(path)
        events.note(parts.root, container, "pause")
    try:
        with opening.kept(parts, container.id), parts.layers.begin() as transaction:
            base = parts.layers.stack(parent.config.chain_id)
            staged = transaction.stage(base[-1] if base else None)
            job = staged.unpack()
            result = _fill(job, parts, container)
            if result.diff_id != EMPTY:
                transaction.commit()
                raw = _configuration(container, parent, config, request, result.diff_id)
            else:
                raw = _configuration(container, parent, config, request, None)
            with parts.images.lock():  # nobody may remove the image before it has its name
                image = parts.images.create(raw, parent=parent.id)
                if request.reference is not None:
                    parts.images.tag(image.id, request.reference)
        name = request.reference.familiar if request.reference is not None else ""
        told = {"comment": request.comment, "imageID": str(image.id), "imageRef": name}
        events.note(parts.root, container, "commit", told)
    finally:
        if frozen:
            cgroup.thaw(path)
            events.note(parts.root, container, "unpause")
    return image


def _fill(job: Any, parts: Parts, container: Container) -> UnpackResult:
    try:
        for chunk in parts.layers.writable_tar(container.id):
            job.feed(chunk)
    except BaseException:
        job.abort()
        raise
    result: UnpackResult = job.finish()
    return result


def _configuration(
    container: Container, parent: Image, config: dict[str, Any], request: CommitRequest, diff_id: DiffID | None
) -> bytes:
    """Raw bytes of the image's configuration; members in Docker's order."""
    from lamina.version import MAKER

    base = parent.config.document
    now = timestamp.now()
    entry = {
        "created": now,
        "author": request.author,
        "created_by": " ".join(container.config.get("Cmd") or ()),
        "comment": request.comment,
        "empty_layer": diff_id is None,
    }
    history = [*(base.get("history") or ()), {key: value for key, value in entry.items() if value}]
    diff_ids = [str(one) for one in parent.config.diff_ids]
    if diff_id is not None:
        diff_ids.append(str(diff_id))
    platform = parent.config.platform
    result = {
        "architecture": base.get("architecture") or platform.architecture,
        "author": request.author,
        "config": dockerconfig.complete(config),
        "container": container.id,
        "container_config": dockerconfig.complete(container.config),
        "created": now,
        "docker_version": MAKER,
        "history": history,
        "os": base.get("os") or "linux",
        "variant": base.get("variant") or "",
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    }
    return gojson.encode({key: value for key, value in result.items() if value})

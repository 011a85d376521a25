"""Making a container: checks, writable layer, volumes, files. All or nothing."""

import os

from lamina.container import (
    configuring,
    controlgroup,
    defaults,
    initlayer,
    mounts,
    names,
    networking,
    rare,
)
from lamina.container.mounts import MountRequest
from lamina.container.names import NameInUse
from lamina.container.parts import Parts, Volume
from lamina.container.record import Container, new_state
from lamina.container.request import CreateRequest
from lamina.contextlib import ExitStack
from lamina.image.contract import Image
from lamina.oci import timestamp
from lamina.typing import Any

_ATTEMPTS = 10


def create(parts: Parts, request: CreateRequest) -> Container:
    """Make it; nothing is left of one that can't be made.

    :raises NotFound: no such image.
    :raises NameInUse: the name is taken. Other errors are ``InvalidArgument`` and ``Unsupported``, with Docker's texts.
    """
    name = names.check(request.name) if request.name else ""
    image = parts.images.resolve(str(request.config.get("Image") or ""))
    container = _describe(parts, request, image)
    requests = mounts.collect(container.config, container.host_config)
    taken = _taken_over(parts, container)
    # What the image declares gives way; what was asked for takes the place.
    requests = [request for request in requests if not (request.target in taken and request.declared)]
    if name:
        parts.store.require_free(name)
    with ExitStack() as undo:
        unsynced: list[str] = []
        parts.layers.create_writable(
            container.id,
            image.config.chain_id,
            initlayer.skeleton(parts.root.owners),
            volatile=container.auto_remove,
            unsynced=unsynced,
        )
        undo.callback(parts.layers.remove_writable, container.id)
        container.document["MountPoints"] = {**taken, **_mount_points(parts, requests, undo)}
        _prepare_root(parts, container, requests)
        _publish(parts, container, name, unsynced)
        undo.pop_all()
    parts.layers.settle(container.id)
    return container


def _describe(parts: Parts, request: CreateRequest, image: Image) -> Container:
    config = configuring.merge(request.config, image.config.config)
    host_config = defaults.host_config(request.host_config, cgroup_namespace=controlgroup.default_namespace())
    configuring.check_runtime(host_config)
    mode = host_config["NetworkMode"] = networking.mode_of(parts, config, host_config)
    path, *arguments = configuring.command(config)
    container_id = os.urandom(32).hex()
    document = {
        "StreamConfig": {},
        "State": new_state(),
        "ID": container_id,
        "Created": timestamp.now(),
        "Managed": False,
        "Path": path,
        "Args": arguments,
        "Config": config,
        "Image": str(image.id),
        "NetworkSettings": {},
        "LogPath": "",
        "Name": "",
        "Driver": parts.layers.driver.name,
        "OS": "linux",
        "MountLabel": "",
        "ProcessLabel": "",
        "RestartCount": 0,
        "HasBeenStartedBefore": False,
        "HasBeenManuallyStopped": False,
        "MountPoints": {},
        "SecretReferences": None,
        "ConfigReferences": None,
        "AppArmorProfile": "",
        "HostnamePath": "",
        "HostsPath": "",
        "ShmPath": "",
        "ResolvConfPath": "",
        "SeccompProfile": "",
        "NoNewPrivileges": False,
        "LocalLogCacheMeta": {"HaveNotifyEnabled": False},
    }
    container = Container(document, host_config)
    document["NetworkSettings"] = networking.describe(parts, container, request.endpoints)
    if parts.owners_for(container).are_mapped:
        from lamina.container import usernamespace  # few hosts have them

        usernamespace.check(host_config)
    container.warnings = [*networking.advice(container), *rare.check(parts, container)]
    if not config["Hostname"]:
        config["Hostname"] = os.uname().nodename if mode == "host" else container_id[:12]
    return container


def _taken_over(parts: Parts, container: Container) -> dict[str, dict[str, Any]]:
    """Mount points of ``--volumes-from``."""
    texts = container.host_config["VolumesFrom"]
    if not texts:
        return {}
    from lamina.container import volumesfrom  # few containers need it

    return volumesfrom.inherited(parts, texts)


def _mount_points(parts: Parts, requests: list[MountRequest], undo: ExitStack) -> dict[str, dict[str, Any]]:
    """Docker's ``MountPoints``; volumes are made, and removed again by ``undo``."""
    points: dict[str, dict[str, Any]] = {}
    for request in requests:
        if request.type == mounts.TMPFS and request.spec is None:
            continue  # --tmpfs stays in HostConfig.Tmpfs
        point: dict[str, Any] = {
            "Source": request.source,
            "Destination": request.target,
            "RW": not request.read_only,
            "Name": "",
            "Driver": "",
            "Type": request.type,
        }
        if request.mode:
            point["Relabel"] = request.mode
        if request.type == mounts.BIND:
            point["Propagation"] = _propagation(parts, request)
        elif request.type == mounts.VOLUME:
            volume = _volume(parts, request, undo)
            point.update(Source=volume.path, Name=volume.name, Driver="local", ID=os.urandom(32).hex())
        point["Spec"] = request.spec if request.spec is not None else {}
        point["SkipMountpointCreation"] = request.type == mounts.BIND and not request.create_source
        points[request.target] = point
    return points


def _propagation(parts: Parts, request: MountRequest) -> str:
    """``rslave`` where the source holds the data root, or the container would keep other containers' mounts alive."""
    if request.propagation == "rprivate":
        root, source = f"{parts.root.path}/", f"{request.source.rstrip('/')}/"
        if root.startswith(source) or source.startswith(root):
            return "rslave"
    return request.propagation


def _volume(parts: Parts, request: MountRequest, undo: ExitStack) -> Volume:
    volume, is_new = parts.volumes.create(request.source, labels=request.labels, options=request.driver_options or None)
    if is_new:
        undo.callback(parts.volumes.remove, volume.name, [])
    return volume


def _prepare_root(parts: Parts, container: Container, requests: list[MountRequest]) -> None:
    """What has to be done inside the container's root: the working directory, the content of new volumes."""
    volumes = [request for request in requests if request.type == mounts.VOLUME and request.copy]
    directory = container.config["WorkingDir"]
    if directory in ("", "/") and not volumes:
        return
    from lamina.container import rootfs  # many containers have nothing of that

    merged = parts.layers.mount(container.id)
    try:
        root = rootfs.open_root(merged)
        try:
            if directory not in ("", "/"):
                rootfs.check_working_directory(root, directory, owner=parts.container_root)
            for request in volumes:
                from lamina.container import copyup  # few containers have new volumes

                point = container.mount_points[request.target]
                parts.volumes.attach(point["Name"], container.id)
                copyup.copy_up(root, request.target, point["Source"], mounts.subpath_of(point))
        finally:
            os.close(root)
    finally:
        parts.volumes.release(container.id)
        parts.layers.unmount(container.id)


def _publish(parts: Parts, container: Container, name: str, unsynced: list[str]) -> None:
    """Give the name and write the files that make the container exist."""
    store = parts.store
    with store.naming():
        if name:
            store.require_free(name)
        else:
            name = _free_name(parts)
        container.document["Name"] = f"/{name}"
        try:
            store.add(container, sync=not container.auto_remove, unsynced=unsynced)
        except BaseException:
            store.forget(container.id)
            raise


def _free_name(parts: Parts) -> str:
    for attempt in range(_ATTEMPTS):
        name = names.suggest(attempt)
        if parts.store.named(name) is None:
            return name
    suffix = os.urandom(4).hex()
    return f"{names.suggest()}_{suffix}"


__all__ = ["NameInUse", "create"]

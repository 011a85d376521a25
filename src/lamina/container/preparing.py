"""What one run of a container needs: its mounted file system, files, users and the document for the runtime."""

from __future__ import annotations

import os

from lamina import atomicfile
from lamina.container import hostfiles, logdrivers, mounts, networking, rare, rootfs, specification, users
from lamina.container.parts import Parts
from lamina.container.record import Container
from lamina.container.specification import Prepared
from lamina.contextlib import suppress
from lamina.errors import InvalidArgument


def prepare(parts: Parts, container: Container, merged: str) -> None:
    """Make what one run needs, here and in the run directory, which exists: before a start and before each restart.

    :param merged: the mounted file system.
    """
    container = parts.start_settings.complete(container)
    prepared = _prepare(parts, container, merged)
    run = parts.run_directory(container.id)
    if not run.make_null_device() and prepared.owners.are_mapped:
        from lamina.container import usernamespace  # few hosts have them

        raise usernamespace.no_devices(run.path)
    atomicfile.write(run.sub("config.json"), specification.encode(container, prepared), sync=False)


def _prepare(parts: Parts, container: Container, merged: str) -> Prepared:
    """Everything that has to be there before the runtime is called."""
    directory = parts.store.directory(container.id)
    root = rootfs.open_root(merged)
    try:
        rootfs.require_plain(root)
        rootfs.check_working_directory(root, container.config["WorkingDir"] or "/", owner=parts.container_root)
        for point in container.mount_points.values():
            _prepare_source(parts, point)
        joined = rare.join(parts, container)
        for point in container.mount_points.values():
            _prepare_destination(root, point, rare.source_of(point, joined), parts.container_root)
        groups = tuple(str(group) for group in container.host_config.get("GroupAdd") or ())
        user = users.resolve(root, container.config["User"], groups)
    finally:
        os.close(root)
    if not networking.share_files(parts, container):
        gateway = networking.host_gateway(parts, container)
        hostfiles.write(container, directory, gateway=gateway, owners=parts.root.owners)
    container.document["LogPath"] = logdrivers.shown_path(container, parts.store.log_path(container.id))
    # As Docker: what was asked for is in HostConfig, this is what the container has.
    profile = container.document["AppArmorProfile"] = specification.apparmor_profile(container.host_config)
    owners = parts.owners_for(container)
    return Prepared(
        merged,
        user,
        parts.root.sub("lamina/index"),
        joined,
        networking.namespace_path(parts, container),
        owners,
        networking.user_namespace_path(parts, container) if owners.are_mapped else "",
        profile,
    )


def _prepare_source(parts: Parts, point: dict[str, object]) -> None:
    source = str(point["Source"])
    if point["Type"] == mounts.VOLUME:
        parts.volumes.get(str(point["Name"]))
    elif point["Type"] == mounts.BIND and not os.path.exists(source):
        if point.get("SkipMountpointCreation"):
            raise InvalidArgument(f'invalid mount config for type "bind": bind source path does not exist: {source}')
        _make_source(source, parts.container_root)


def _make_source(path: str, owner: tuple[int, int] | None) -> None:
    """``mkdir -p``; what is new belongs to the containers' root."""
    new = []
    above = path
    while not os.path.exists(above):
        new.append(above)
        above = os.path.dirname(above)
    os.makedirs(path, 0o755, exist_ok=True)
    if owner is not None:
        for one in new:
            os.chown(one, *owner)


def _prepare_destination(root: int, point: dict[str, object], source: str, owner: tuple[int, int] | None) -> None:
    """Make the directory to mount on, also behind a link that leads nowhere yet; the runtime makes files."""
    if point["Type"] == mounts.TMPFS or os.path.isdir(source):
        with suppress(rootfs.NotADirectory):  # the runtime says it better
            rootfs.make_directories(root, str(point["Destination"]), owner=owner)

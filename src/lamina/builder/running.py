"""``RUN``: a command in a real container on a step's workspace.

The container is what ``lamina run`` would make (the same capabilities, seccomp profile, masked paths, mounts), with the
image's user, environment and working directory. Mount points and ``/etc/resolv.conf`` come from a layer below the
step's own, so that none of them is in the result.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Callable
from shutil import rmtree

from lamina import atomicfile
from lamina.builder.job import CommandFailed, Job, StepMount
from lamina.builder.network import Place
from lamina.builder.warden import Order, Outcome, Pending, Warden
from lamina.configuration import Configuration
from lamina.container import controlgroup, defaults, hostfiles, initlayer, rootfs, specification, users
from lamina.container.parts import StartSettings
from lamina.container.record import Container
from lamina.container.rundirectory import RunDirectory
from lamina.container.specification import Prepared
from lamina.contextlib import ExitStack
from lamina.dataroot import DataRoot
from lamina.functools import cache, partial
from lamina.layer import skeleton
from lamina.oci import dockerconfig
from lamina.owners import SAME, Owners
from lamina.runtime.program import StandardStreams
from lamina.typing import Any

_PIECE = 1 << 16
#: Output that stays in memory for the message of a failure.
_TAIL = 8 << 10

Output = Callable[[bytes], None]


def initialiser(mounts: tuple[StepMount, ...], owners: Owners = SAME) -> Callable[[str], None]:
    """Fills the layer below the step's: what every container has, and the points of ``mounts``."""
    everywhere = _everywhere(owners)
    if not mounts:
        return everywhere

    def initialise(path: str) -> None:
        everywhere(path)
        root = rootfs.open_root(path)
        try:
            for mount in mounts:
                _make_point(root, mount, owners)
        finally:
            os.close(root)

    return initialise


@cache
def _everywhere(owners: Owners) -> Callable[[str], None]:
    """The same object for the same owners, by which layers are found again."""
    return partial(skeleton.make, initlayer.skeleton(owners))


def _make_point(root: int, mount: StepMount, owners: Owners) -> None:
    owner = owners.root if owners.are_mapped else None
    if not mount.is_file:
        rootfs.make_directories(root, mount.target, owner=owner)
        return
    directory = rootfs.make_directories(root, posixpath.dirname(mount.target), owner=owner)
    parent = os.open(f".{directory}", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=root)
    try:
        name = posixpath.basename(mount.target)
        os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644, dir_fd=parent))
    finally:
        os.close(parent)


def run(
    root: DataRoot,
    warden: Warden,
    merged: str,
    job: Job,
    output: Output,
    *,
    id: str,
    meanwhile: Callable[[], None],
    place: Place | None = None,
    configuration: Configuration,
) -> None:
    """Run it to its end; ``output`` gets what it writes.

    :param merged: host path of the workspace.
    :param id: of the container; the journal knows it.
    :param meanwhile: called once, while the container starts.
    :param place: the network of a job that is to be on the default one.
    :param configuration: daemon.json, for what the job says nothing about, as the classic builder has it.
    :raises CommandFailed: it failed.
    :raises RuntimeFailed: it could not be started.
    """
    bundle = root.sub("lamina", "run", id)
    container = _container(job, id, configuration)
    os.makedirs(bundle, 0o700)
    with ExitStack() as undo:
        undo.callback(rmtree, bundle, ignore_errors=True)
        directory = RunDirectory(bundle)
        has_null = directory.make_null_device()
        if root.owners.are_mapped:
            from lamina.container import usernamespace  # few hosts have them

            usernamespace.check(container.host_config)
            root.let_through(bundle)
            if not has_null:
                raise usernamespace.no_devices(bundle)
        prepared = _prepare(container, merged, bundle, root, place or Place())
        atomicfile.write(f"{bundle}/config.json", specification.encode(container, prepared), sync=False)
        order = Order(id, bundle, job.command[0], controlgroup.path(id, container.host_config["CgroupParent"]))
        read, pending = _start(warden, order, directory.null_device)
        undo.pop_all()  # the warden removes the bundle from now on
    try:
        meanwhile()
        tail = _relay(read, output)
        outcome = pending.wait()
    except BaseException:
        warden.close()  # whoever cleans up now must not find it running
        pending.close()
        raise
    finally:
        os.close(read)
    _check(job, outcome, tail)


def _start(warden: Warden, order: Order, device: str) -> tuple[int, Pending]:
    """Have it started; where its output comes from, and its end.

    :param device: path of the null device that it reads.
    """
    null = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
    read, write = os.pipe2(os.O_CLOEXEC)
    try:
        return read, warden.run(order, StandardStreams(null, write, write))
    except BaseException:
        os.close(read)
        raise
    finally:
        os.close(null)
        os.close(write)


def _check(job: Job, outcome: Outcome, tail: bytes) -> None:
    if outcome.code:
        raise CommandFailed(job.command, outcome.code, tail, oom_killed=outcome.oom_killed)


def _relay(descriptor: int, output: Output) -> bytes:
    """Everything up to the end; the last of it."""
    tail = b""
    while data := os.read(descriptor, _PIECE):
        output(data)
        tail = (tail + data)[-_TAIL:]
    return tail


def _container(job: Job, id: str, configuration: Configuration) -> Container:
    """The record of a container that nobody will see."""
    given = {**job.limits, "NetworkMode": job.network, "Privileged": job.insecure}
    host_config = defaults.host_config(
        defaults.configured_limits(given, configuration), cgroup_namespace=controlgroup.default_namespace()
    )
    if job.insecure:
        host_config["MaskedPaths"] = host_config["ReadonlyPaths"] = None
    config = dockerconfig.complete(job.config)
    config["Hostname"] = os.uname().nodename if job.network == "host" else id[:12]
    config["Env"] = [*(config["Env"] or ()), *(f"{name}={value}" for name, value in job.arguments.items())]
    config["Tty"] = False
    points: dict[str, dict[str, Any]] = {}
    tmpfs = {}
    for mount in job.mounts:
        if mount.kind == "tmpfs":
            tmpfs[mount.target] = mount.options
            continue
        points[mount.target] = {
            "Destination": mount.target,
            "Type": mount.kind if mount.kind == "overlay" else "volume",
            "Source": mount.source,
            "Options": mount.options,
            "RW": not mount.read_only,
            "Propagation": "rprivate",
        }
    host_config["Tmpfs"] = tmpfs
    document = {"ID": id, "Path": job.command[0], "Args": job.command[1:], "Config": config, "MountPoints": points}
    return StartSettings.of(configuration).complete(Container(document, host_config))


def _prepare(container: Container, merged: str, bundle: str, data_root: DataRoot, place: Place) -> Prepared:
    owners = data_root.owners
    root = rootfs.open_root(merged)
    try:
        rootfs.require_plain(root)
        owner = owners.root if owners.are_mapped else None
        rootfs.check_working_directory(root, container.config["WorkingDir"] or "/", owner=owner)
        user = users.resolve(root, container.config["User"])
    finally:
        os.close(root)
    hostfiles.write(container, bundle, gateway=place.gateway, owners=owners)
    if place.address:
        hostfiles.write_network(container, (place.address,), (), gateway=place.gateway, server="")
    filters = data_root.sub("lamina/index")
    return Prepared(
        merged,
        user,
        filters,
        network=place.path,
        owners=owners,
        user_namespace=place.user_namespace,
        apparmor=specification.apparmor_profile(container.host_config),
    )

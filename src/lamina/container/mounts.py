"""What is mounted into a container: ``Binds``, ``Mounts``, ``Tmpfs`` and ``Volumes`` become mount points.

A mount point has the shape of ``MountPoints`` in Docker's ``config.v2.json``. Grammar and messages: Docker 20.10
(``volume/mounts`` on Linux).
"""

import os
import posixpath
from collections.abc import Iterable, Mapping

from lamina import events
from lamina.characters import is_name
from lamina.errors import InvalidArgument
from lamina.typing import Any, NamedTuple

BIND, VOLUME, TMPFS = "bind", "volume", "tmpfs"
PROPAGATIONS = ("private", "rprivate", "shared", "rshared", "slave", "rslave")
_CONSISTENCIES = ("consistent", "cached", "delegated", "default")
#: Two characters at least, Docker's grammar of names.


class InvalidMount(InvalidArgument):
    """A mount that makes no sense."""


class MountRequest(NamedTuple):
    """One mount as asked for.

    :ivar source: host path, volume name, or ``""`` for an anonymous volume and for tmpfs.
    :ivar mode: Docker's ``Relabel``: the words behind the second colon of ``-v``.
    :ivar create_source: whether a missing host directory is made (``-v``) or an error (``--mount``).
    :ivar copy: whether an empty volume, or its empty part, gets the image's content.
    :ivar options: tmpfs options: ``size=1024``, ``mode=700``.
    :ivar spec: what ``config.v2.json`` keeps in ``Spec``.
    """

    type: str
    source: str
    target: str
    read_only: bool = False
    propagation: str = ""
    mode: str = ""
    create_source: bool = False
    copy: bool = True
    driver: str = "local"
    labels: dict[str, str] | None = None
    driver_options: dict[str, str] | None = None
    options: str = ""
    spec: dict[str, Any] | None = None

    @property
    def declared(self) -> bool:
        """Whether it is no more than a name in ``Config.Volumes``: an anonymous volume."""
        return self.type == VOLUME and not self.spec


def collect(config: Mapping[str, Any], host_config: Mapping[str, Any]) -> list[MountRequest]:
    """Every mount of a new container, one per destination, an explicit one before the image's ``VOLUME``.

    :raises InvalidMount: with Docker's message.
    """
    found: dict[str, MountRequest] = {}
    for text in host_config.get("Binds") or ():
        request = parse_bind(text)
        if request.target in found and found[request.target] != request:
            raise InvalidMount(f"Duplicate mount point: {request.target}")
        found[request.target] = request
    for mount in host_config.get("Mounts") or ():
        request = parse_mount(mount)
        if request.target in found:
            raise InvalidMount(f"Duplicate mount point: {request.target}")
        found[request.target] = request
    for target, options in (host_config.get("Tmpfs") or {}).items():
        clean = _target(target, TMPFS)
        if clean in found:
            raise InvalidMount(f"Duplicate mount point: {clean}")
        found[clean] = MountRequest(TMPFS, "", clean, options=_tmpfs_options(options), mode="tmpfs")
    for target in config.get("Volumes") or ():
        clean = _volume_target(target)
        found.setdefault(clean, MountRequest(VOLUME, "", clean, spec={}))
    return list(found.values())


def parse_bind(text: str) -> MountRequest:
    """``source:target[:mode]`` of ``-v``: a host path or the name of a volume.

    :raises InvalidMount: with Docker's message.
    """
    parts = text.split(":")
    if len(parts) not in (2, 3) or not parts[0] or "\0" in text:
        raise InvalidMount(f"invalid volume specification: '{text}'")
    source, target = parts[0], parts[1]
    mode = parts[2] if len(parts) == 3 else ""
    words = _mode_words(mode)
    kind = BIND if source.startswith("/") else VOLUME
    try:
        clean = _target(target, kind)
    except InvalidMount as error:
        raise InvalidMount(f"invalid volume specification: '{text}': {error}") from None
    propagation = next((word for word in words if word in PROPAGATIONS), "")
    if kind == BIND:
        source = posixpath.normpath(source)
        propagation = propagation or "rprivate"
    else:
        check_volume_name(source)
        if propagation:
            raise InvalidMount(f"invalid mode: {mode}")
    spec: dict[str, Any] = {"Type": kind, "Source": source, "Target": clean}
    if "ro" in words:
        spec["ReadOnly"] = True
    return MountRequest(
        kind,
        source,
        clean,
        read_only="ro" in words,
        propagation=propagation,
        mode=mode or ("" if kind == BIND else "z"),
        create_source=kind == BIND,
        copy="nocopy" not in words,
        spec=spec,
    )


def _mode_words(mode: str) -> list[str]:
    words = mode.split(",") if mode else []
    known = {"ro", "rw", "z", "Z", "nocopy", *PROPAGATIONS, *_CONSISTENCIES}
    if any(word not in known for word in words) or len(set(words)) != len(words):
        raise InvalidMount(f"invalid mode: {mode}")
    for exclusive in (("ro", "rw"), ("z", "Z"), PROPAGATIONS):
        if sum(word in exclusive for word in words) > 1:
            raise InvalidMount(f"invalid mode: {mode}")
    return words


def parse_mount(mount: Mapping[str, Any]) -> MountRequest:
    """One member of ``HostConfig.Mounts``. Raises :class:`InvalidMount` with Docker's message."""
    kind = str(mount.get("Type") or VOLUME)
    if kind not in (BIND, VOLUME, TMPFS):
        raise InvalidMount(f'invalid mount config for type "{kind}": mount type unknown')
    source = str(mount.get("Source") or "")
    target = _target(str(mount.get("Target") or ""), kind)
    read_only = bool(mount.get("ReadOnly"))
    spec = {key: value for key, value in mount.items() if value}
    if kind == BIND:
        _check_bind_source(source)
        options = mount.get("BindOptions") or {}
        propagation = str(options.get("Propagation") or "rprivate")
        if propagation not in PROPAGATIONS:
            raise InvalidMount(f'invalid mount config for type "bind": invalid propagation mode: {propagation}')
        return MountRequest(kind, posixpath.normpath(source), target, read_only, propagation, spec=spec)
    if kind == TMPFS:
        if source:
            raise InvalidMount('invalid mount config for type "tmpfs": field Source must not be specified')
        return MountRequest(kind, "", target, read_only, options=tmpfs_options(mount), spec=spec)
    if source:
        check_volume_name(source)
    volume_options = mount.get("VolumeOptions") or {}
    _check_subpath(str(volume_options.get("Subpath") or ""), source)
    driver = volume_options.get("DriverConfig") or {}
    return MountRequest(
        kind,
        source,
        target,
        read_only,
        mode="z",
        copy=not volume_options.get("NoCopy"),
        driver=str(driver.get("Name") or "local"),
        labels=volume_options.get("Labels"),
        driver_options=driver.get("Options"),
        spec=spec,
    )


def _check_bind_source(source: str) -> None:
    prefix = 'invalid mount config for type "bind"'
    if not source:
        raise InvalidMount(f"{prefix}: field Source must not be empty")
    if not source.startswith("/") or "\0" in source:
        raise InvalidMount(f"{prefix}: invalid mount path: '{source}' mount path must be absolute")
    if not os.path.exists(source):
        raise InvalidMount(f"{prefix}: bind source path does not exist: {source}")


def _check_subpath(subpath: str, source: str) -> None:
    prefix = 'invalid mount config for type "volume"'
    if subpath and not source:
        raise InvalidMount(f"{prefix}: must not set Subpath when using anonymous volumes")
    if subpath.startswith("/") or posixpath.normpath(subpath).split("/")[0] == ".." or "\0" in subpath:
        raise InvalidMount(f"{prefix}: subpath must be a relative path within the volume")


def subpath_of(point: Mapping[str, Any]) -> str:
    """What of a volume a mount point shows, relative to the volume; ``""`` for all."""
    return str(((point.get("Spec") or {}).get("VolumeOptions") or {}).get("Subpath") or "")


def check_volume_name(name: str) -> None:
    """Raises :class:`InvalidMount` for what could leave the directory of volumes, or be taken for a path."""
    if not is_name(name):
        raise InvalidMount(
            f'create {name}: "{name}" includes invalid characters for a local volume name, only '
            '"[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path'
        )


def _target(path: str, kind: str) -> str:
    """A destination, cleaned: ``..`` can't climb out of ``/``. Where links lead is for the runtime, inside the root."""
    prefix = f'invalid mount config for type "{kind}"'
    if not path:
        raise InvalidMount(f"{prefix}: field Target must not be empty")
    if not path.startswith("/") or "\0" in path:
        raise InvalidMount(f"{prefix}: invalid mount path: '{path}' mount path must be absolute")
    clean = "/" + posixpath.normpath(path).lstrip("/")
    if clean == "/":
        raise InvalidMount(f"{prefix}: invalid specification: destination can't be '/'")
    return clean


def _volume_target(path: str) -> str:
    """A key of ``Config.Volumes``: relative ones count from the root."""
    return _target(path if path.startswith("/") else f"/{path}", VOLUME)


_TMPFS_WORDS = frozenset(("defaults", "rw", "ro", "sync", "async", "norelatime", "nostrictatime", "nomand")).union(
    *((word, f"no{word}") for word in ("exec", "suid", "dev", "atime", "diratime")), ("relatime", "strictatime", "mand")
)
_TMPFS_KEYS = frozenset(("size", "mode", "uid", "gid", "nr_inodes", "nr_blocks", "mpol"))


def _tmpfs_options(text: str) -> str:
    """``--tmpfs /t:OPTIONS``. Raises :class:`InvalidMount` for an option that is not a tmpfs one."""
    for word in text.split(",") if text else ():
        key, equals, _ = word.partition("=")
        if (equals and key not in _TMPFS_KEYS) or (not equals and word not in _TMPFS_WORDS | set(PROPAGATIONS)):
            raise InvalidMount(f'invalid tmpfs option ["{word}"]')
    return text


def tmpfs_options(mount: Mapping[str, Any]) -> str:
    """What a tmpfs of ``HostConfig.Mounts`` is mounted with."""
    options = mount.get("TmpfsOptions") or {}
    words = []
    if options.get("SizeBytes"):
        words.append(f"size={int(options['SizeBytes'])}")
    if options.get("Mode"):
        words.append(f"mode={int(options['Mode']):o}")
    return ",".join(words)


def actors(container_id: str, points: Iterable[Mapping[str, Any]]) -> list[events.Actor]:
    """The volumes among mount points, as events tell that they are mounted; in the order of their destinations."""
    found = []
    for point in sorted(points, key=lambda point: str(point["Destination"])):
        if point["Type"] == VOLUME:
            attributes = {
                "container": container_id,
                "destination": str(point["Destination"]),
                "driver": str(point["Driver"]),
                "propagation": str(point.get("Propagation") or ""),
                "read/write": "true" if point["RW"] else "false",
            }
            found.append(events.Actor(events.VOLUME, str(point["Name"]), attributes))
    return found


def ordered(points: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Mount points so that one below another comes after it."""
    return sorted(points, key=lambda point: (str(point["Destination"]).count("/"), str(point["Destination"])))

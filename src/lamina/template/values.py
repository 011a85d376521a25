"""Values that templates see, and how Go prints them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from lamina import json


class Record:
    """A value of Go's with columns that are computed when a template asks for them, as a row of a list.

    :ivar type_name: Go's name of the type, for error texts: ``*formatter.imageContext``.
    :ivar methods: what takes one text: ``{{.Label "name"}}``.
    :ivar fields: columns that are the value's own members, in Go's order: only these are printed and shown as JSON.
        ``None`` where all columns are methods, and JSON shows each of them, as of docker's rows.
    """

    __slots__ = ("columns", "fields", "methods", "type_name")

    def __init__(
        self,
        columns: Mapping[str, Callable[[], object]],
        type_name: str,
        methods: Mapping[str, Callable[[str], object]] | None = None,
        fields: tuple[str, ...] | None = None,
    ) -> None:
        self.columns = columns
        self.type_name = type_name
        self.methods = methods or {}
        self.fields = fields

    def to_json(self) -> dict[str, object]:
        """What ``{{json .}}`` shows: the fields in their order, or all columns, sorted."""
        names = sorted(self.columns) if self.fields is None else self.fields
        return {name: self.columns[name]() for name in names}

    def members(self) -> list[object]:
        """What ``{{.}}`` shows."""
        return list(self.to_json().values())


class TextMap(dict[str, str]):
    """Go's ``map[string]string``: a field of it that is not there has no value, and is no error."""


class GoTime(str):
    """An RFC 3339 time that JSON shows as it is and templates print as Go prints a ``time.Time``."""

    __slots__ = ()

    def printed(self) -> str:
        """``2006-01-02 15:04:05.123 +0000 UTC``; only UTC, which is what Docker stores."""
        return self.removesuffix("Z").replace("T", " ") + " +0000 UTC" if self.endswith("Z") else str(self)


class Nil:
    """Go's nil pointer, list or map: empty, printed as such, ``null`` in JSON."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __bool__(self) -> bool:
        return False

    def __len__(self) -> int:
        return 0


NIL_POINTER = Nil("<nil>")
_NIL_LIST = Nil("[]")
_NIL_MAP = Nil("map[]")
_NIL_LIST_NAMES = """
    Args Binds BlkioDeviceReadBps BlkioDeviceReadIOps BlkioDeviceWriteBps BlkioDeviceWriteIOps BlkioWeightDevice
    CapAdd CapDrop Cmd DeviceCgroupRules DeviceRequests Devices Dns DnsOptions DnsSearch Entrypoint Env ExecIDs
    ExtraHosts GroupAdd Links Mounts OnBuild Peers RepoDigests RepoTags SecurityOpt Shell Ulimits VolumesFrom
"""
_NIL_MAP_NAMES = (
    "Data ExposedPorts Labels Networks Options PortBindings Ports Services Status StorageOpt Sysctls Tmpfs Volumes"
)
_NIL_LISTS = frozenset(_NIL_LIST_NAMES.split())
_NIL_MAPS = frozenset(_NIL_MAP_NAMES.split())


def nil_of(name: str) -> Nil | None:
    """What ``null`` is in a member of this name of one of Docker's documents: in Go it has a type."""
    if name in _NIL_LISTS:
        return _NIL_LIST
    return _NIL_MAP if name in _NIL_MAPS else None


def truth(value: object) -> bool:
    """Go's: everything but false, 0, nil and what is empty."""
    return isinstance(value, Record) or bool(value)


def type_name(value: object) -> str:
    """Go's name of a value's type, as error texts and ``%T`` show it."""
    if isinstance(value, Record):
        return value.type_name
    names: dict[type, str] = {
        bool: "bool",
        int: "int64",
        float: "float64",
        str: "string",
        list: "[]interface {}",
        dict: "map[string]interface {}",
        TextMap: "map[string]string",
    }
    return names.get(type(value), "interface {}")


def printed(value: object, *, inner: bool = False) -> str:
    """Go's ``%v``. ``inner``: inside a list or map, where nil has another look."""
    if value is None:
        return "<nil>" if inner else "<no value>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Nil):
        return value.text
    if isinstance(value, GoTime):
        return value.printed()
    if isinstance(value, str | int):
        return str(value)
    if isinstance(value, float):
        return _float(value)
    if isinstance(value, Mapping):
        return f"map[{' '.join(f'{key}:{_member(value[key])}' for key in sorted(value))}]"
    if isinstance(value, list | tuple):
        return f"[{' '.join(printed(item, inner=True) for item in value)}]"
    if isinstance(value, Record):
        return f"{{{' '.join(printed(item, inner=True) for item in value.members())}}}"
    return str(value)


def _member(value: object) -> str:
    # The values of ExposedPorts and Volumes are Go's empty struct.
    return "{}" if value == {} else printed(value, inner=True)


def _float(value: float) -> str:
    text = repr(value)
    mantissa, e, exponent = text.partition("e")
    if e:
        return f"{mantissa.removesuffix('.0')}e{int(exponent):+03d}"
    return text.removesuffix(".0")


def to_json(value: object) -> str:
    """Go's ``json.Encoder`` without HTML escapes: no spaces, ``null`` for nil."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_encode)


def _encode(value: object) -> object:
    if isinstance(value, Record):
        return value.to_json()
    return None if isinstance(value, Nil) else str(value)

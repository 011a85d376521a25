"""What lamina uses of :mod:`typing`, without loading it.

``typing`` and what it needs in turn (``re``, ``enum``, ``functools``, ``contextlib``) take 17 ms to load: longer than
the interpreter itself, and than most of what a command does. Type checkers see the real thing. At run time protocols,
generics and special forms are names that do nothing, and :class:`NamedTuple` makes the classes that its namesake makes,
several times faster: it compiles a constructor only for classes that many objects are made of.
"""

from __future__ import annotations

TYPE_CHECKING = False

if TYPE_CHECKING:
    from typing import (
        IO,
        Any,
        ClassVar,
        Generic,
        Literal,
        NamedTuple,
        NoReturn,
        Protocol,
        Self,
        TextIO,
        TypeAlias,
        TypeVar,
        Union,
        cast,
    )
else:
    try:
        from _collections import _tuplegetter
    except ImportError:  # another interpreter than CPython

        def _tuplegetter(index, doc):
            return property(lambda self: tuple.__getitem__(self, index), doc=doc)

    class _Form:
        """Stands for anything in an annotation: can be subscripted, and be one side of ``|``."""

        __slots__ = ()

        def __getitem__(self, parameters):
            return self

        def __or__(self, other):
            return self

        __ror__ = __or__

    IO = Any = ClassVar = Literal = NoReturn = Self = TextIO = TypeAlias = Union = _Form()

    class Generic:
        """Base of classes with type parameters."""

        __slots__ = ()

        def __class_getitem__(cls, parameters):
            return cls

    class Protocol(Generic):
        """Base of classes that only say what others must have."""

    def TypeVar(name, *constraints, bound=None):  # noqa: N802 - its name in typing
        return Any

    def cast(kind, value):
        return value

    class _NamedTupleMaker(type):
        """Turns the body of a class that names fields into a class of tuples."""

        def __new__(cls, name, bases, body):
            if not bases:
                return type.__new__(cls, name, bases, body)
            fields = tuple(body.get("__annotations__", ()))
            defaults = {field: body.pop(field) for field in fields if field in body}
            for index, field in enumerate(fields):
                if field.startswith("_"):
                    raise ValueError(f"Field names cannot start with an underscore: {field!r}")
                if defaults and field not in defaults and any(before in defaults for before in fields[:index]):
                    raise TypeError(f"non-default named tuple field {field} follows a default field")
                body[field] = _tuplegetter(index, None)
            body.update(__slots__=(), __match_args__=fields, _fields=fields, _field_defaults=defaults)
            others = tuple(base for base in bases if base is not NamedTuple)
            return type(name, (tuple, *others), {**_TUPLE_METHODS, **body})

    class NamedTuple(metaclass=_NamedTupleMaker):
        """Base of tuples with named fields."""

    #: How many objects a class makes before a constructor is compiled for it: that takes longer than these do.
    _UNCOMPILED = 20
    _made = {}

    def _constructor(cls, /, *values, **named):
        """``__new__`` of a class's first objects."""
        owner = next(base for base in cls.__mro__ if "_fields" in base.__dict__)
        fields = owner._fields
        count = _made[owner] = _made.get(owner, 0) + 1
        if count <= _UNCOMPILED and len(values) <= len(fields):
            rest = fields[len(values) :]
            if not rest and not named:
                return tuple.__new__(cls, values)
            known = {**owner._field_defaults, **named}
            if named.keys() <= set(rest) <= known.keys():
                return tuple.__new__(cls, (*values, *[known[field] for field in rest]))
        owner.__new__ = staticmethod(_compiled(owner))
        return owner.__new__(cls, *values, **named)

    def _compiled(owner):
        """A constructor that takes the fields as its parameters, and says what is wrong with others."""
        parameters = ", ".join(owner._fields)
        make = eval(  # noqa: S307 - field names are identifiers of the class's own source
            f"lambda cls, {parameters}: new(cls, ({parameters}{',' if parameters else ''}))", {"new": tuple.__new__}
        )
        make.__name__ = "__new__"
        make.__qualname__ = f"{owner.__qualname__}.__new__"
        make.__defaults__ = tuple(owner._field_defaults.values()) or None
        return make

    def _make(cls, iterable):
        """An object of a sequence of values."""
        return tuple.__new__(cls, iterable)

    def _replace(self, /, **changes):
        """The same with some fields changed."""
        made = self._make([changes.pop(field, value) for field, value in zip(self._fields, self, strict=True)])
        if changes:
            raise ValueError(f"Got unexpected field names: {list(changes)!r}")
        return made

    def _asdict(self):
        """Field to value."""
        return dict(zip(self._fields, self, strict=True))

    def _repr(self):
        values = ", ".join(f"{field}={value!r}" for field, value in zip(self._fields, self, strict=True))
        return f"{self.__class__.__name__}({values})"

    def _getnewargs(self):
        return tuple(self)

    _TUPLE_METHODS = {
        "__new__": _constructor,
        "__repr__": _repr,
        "_make": classmethod(_make),
        "_replace": _replace,
        "_asdict": _asdict,
        "__getnewargs__": _getnewargs,
    }

__all__ = [
    "IO",
    "TYPE_CHECKING",
    "Any",
    "ClassVar",
    "Generic",
    "Literal",
    "NamedTuple",
    "NoReturn",
    "Protocol",
    "Self",
    "TextIO",
    "TypeAlias",
    "TypeVar",
    "Union",
    "cast",
]

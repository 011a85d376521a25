"""What the modules of this package use of :mod:`ctypes`, without loading it: it makes a class of every C type first,
which takes a millisecond. What is not here comes from the standard module, which loads it.
"""

from __future__ import annotations

from lamina.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ctypes import (
        CDLL,
        POINTER,
        Structure,
        byref,
        c_char_p,
        c_int,
        c_int64,
        c_long,
        c_size_t,
        c_ubyte,
        c_uint,
        c_uint32,
        c_uint64,
        c_ulong,
        c_void_p,
        create_string_buffer,
        get_errno,
        sizeof,
    )
else:
    try:
        from _ctypes import (
            FUNCFLAG_CDECL,
            FUNCFLAG_USE_ERRNO,
            RTLD_LOCAL,
            CFuncPtr,
            Structure,
            _SimpleCData,
            byref,
            dlopen,
            get_errno,
            sizeof,
        )
    except ImportError:  # another interpreter than CPython
        from ctypes import *  # noqa: F403
        from ctypes import get_errno
    else:

        def _simple(name, code):
            """The type of a C type that :mod:`ctypes` knows by a letter."""
            return type(name, (_SimpleCData,), {"_type_": code})

        c_int, c_uint = _simple("c_int", "i"), _simple("c_uint", "I")
        c_long, c_ulong = _simple("c_long", "l"), _simple("c_ulong", "L")
        c_int64, c_uint64 = _simple("c_int64", "q"), _simple("c_uint64", "Q")
        c_void_p, c_char_p = _simple("c_void_p", "P"), _simple("c_char_p", "z")
        c_uint32 = c_uint
        c_size_t = c_ulong  # on Linux

        class CDLL:
            """A shared library; its functions are attributes, and return an ``int`` unless told otherwise."""

            def __init__(self, name, *, use_errno=False):
                flags = FUNCFLAG_CDECL | (FUNCFLAG_USE_ERRNO if use_errno else 0)
                self._handle = dlopen(name, RTLD_LOCAL)  # what a function looks for in its library
                self._function = type("Function", (CFuncPtr,), {"_flags_": flags, "_restype_": c_int})

            def __getattr__(self, name):
                if name.startswith("__"):
                    raise AttributeError(name)
                function = self.__dict__[name] = self._function((name, self))
                return function

    def __getattr__(name):
        import ctypes

        return getattr(ctypes, name)


__all__ = [
    "CDLL",
    "POINTER",
    "Structure",
    "byref",
    "c_char_p",
    "c_int",
    "c_int64",
    "c_long",
    "c_size_t",
    "c_ubyte",
    "c_uint",
    "c_uint32",
    "c_uint64",
    "c_ulong",
    "c_void_p",
    "create_string_buffer",
    "get_errno",
    "sizeof",
]

"""What lamina uses of :mod:`functools`, without loading it, for it loads ``collections``."""

from __future__ import annotations

from lamina.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from functools import cache, cached_property, lru_cache, partial
else:
    try:
        from _functools import _lru_cache_wrapper, partial
    except ImportError:  # another interpreter than CPython
        from functools import cache, lru_cache, partial
    else:

        def lru_cache(maxsize):
            """What makes a function remember its last results."""
            return lambda function: _lru_cache_wrapper(function, maxsize, False, tuple)

        cache = lru_cache(None)

    class cached_property:  # noqa: N801 - the standard name
        """A property that is computed when it is first asked for. Of two threads that ask both get the first value."""

        def __init__(self, function):
            self._function = function
            self._name = function.__name__
            self.__doc__ = function.__doc__

        def __get__(self, instance, owner=None):
            if instance is None:
                return self
            return instance.__dict__.setdefault(self._name, self._function(instance))


__all__ = ["cache", "cached_property", "lru_cache", "partial"]

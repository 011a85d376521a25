"""The classes of :mod:`collections` that are written in C, without the others."""

from __future__ import annotations

from lamina.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections import defaultdict, deque
else:
    try:
        from _collections import defaultdict, deque
    except ImportError:  # another interpreter than CPython
        from collections import defaultdict, deque

__all__ = ["defaultdict", "deque"]

"""The functions and numbers of :mod:`signal`, as the operating system has them.

The standard module makes enumerations of them, for which it loads ``enum``: some milliseconds of every start.
"""

from __future__ import annotations

from lamina.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from signal import *  # noqa: F403
else:
    try:
        from _signal import *  # noqa: F403
    except ImportError:  # another interpreter than CPython
        from signal import *  # noqa: F403

"""Graph drivers: how a stack of layers becomes a directory.

``open_driver`` and ``explain`` are loaded on first use: most commands that import a contract from here need no driver.
"""

from __future__ import annotations

from lamina.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lamina.graphdriver.choice import Choice, explain, open_driver

__all__ = ["Choice", "explain", "open_driver"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from lamina.graphdriver import choice

    return getattr(choice, name)

"""lamina: a container engine and layered image store.

>>> import lamina
>>> engine = lamina.Engine("/var/lib/lamina")  # doctest: +SKIP
"""

from __future__ import annotations

from lamina.typing import TYPE_CHECKING

__all__ = ["Engine", "__version__"]

if TYPE_CHECKING:
    from lamina.engine import Engine
    from lamina.version import __version__


def __getattr__(name: str) -> object:
    # The command line imports this package on every start, and most verbs need only a part of the engine.
    if name == "Engine":
        from lamina.engine import Engine

        return Engine
    if name == "__version__":
        from lamina.version import __version__

        return __version__
    raise AttributeError(name)

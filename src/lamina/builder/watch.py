"""Who looks on while something is fetched."""

from __future__ import annotations

from collections.abc import Callable

from lamina.typing import NamedTuple


class Watch(NamedTuple):
    """Told of what happens, asked whether to go on; from the thread that does the work.

    :ivar show: gets what there is to tell, as text.
    :ivar check: raises when there is no use in going on.
    """

    show: Callable[[bytes], None] = lambda data: None
    check: Callable[[], None] = lambda: None

"""A process that is to become a container's monitor, forked before the container is there.

While the command that starts a container finds out which, and makes it, this process loads what a monitor needs.
"""

from __future__ import annotations

import os
import sys

from lamina.container import frames
from lamina.container.parts import Parts
from lamina.contextlib import suppress
from lamina.errors import LaminaError
from lamina.runtime import cgroup
from lamina.typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from types import TracebackType


class Standby:
    """One such process. It ends when it is left (``with``), or its parent goes, before it has been told what to do.

    :param bridged: whether the container will probably have interfaces that are made for it.
    :param load_first: load what it needs before the fork: in a program with threads, where a child can't load anything
        that another thread was loading.
    :ivar pid: a child of this process, to be reaped by it.
    """

    def __init__(self, parts: Parts, *, bridged: bool = True, load_first: bool = False) -> None:
        if load_first:
            _load(parts, bridged)
        self._descriptor, theirs = frames.pair()
        try:
            sys.stdout.flush()
            sys.stderr.flush()
            self.pid = os.fork()
            if not self.pid:
                _main(parts, theirs, bridged)
        except BaseException:
            os.close(self._descriptor)
            raise
        finally:
            os.close(theirs)
        self._used = self._left = False
        self._end_warm_up = cgroup.warm_up()  # after the fork, which is not to happen beside a thread

    def begin(self, container_id: str, *, attached: bool) -> int:
        """Have it start the container; this process's end of the socket to the monitor, which the caller closes.

        Its first frame says what came of it.
        """
        self._used = True
        with suppress(BrokenPipeError, ConnectionResetError):  # it is gone, as whoever reads will see
            os.write(self._descriptor, (frames.BEGIN_ATTACHED if attached else frames.BEGIN) + container_id.encode())
        return self._descriptor

    def __enter__(self) -> Standby:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._left:
            return
        self._left = True
        self._end_warm_up()
        if not self._used:
            os.close(self._descriptor)
            os.waitpid(self.pid, 0)


def _load(parts: Parts, bridged: bool) -> None:
    """Load it: that these are loaded is all that it is about."""
    import lamina.container.household
    import lamina.container.monitor
    import lamina.graphdriver.overlayfs
    import lamina.linux.daemon
    import lamina.runtime.sealing  # noqa: F401

    if bridged:
        parts.networks.load()


def _main(parts: Parts, client: int, bridged: bool) -> NoReturn:
    code = 1
    try:
        from lamina.linux import daemon

        daemon.leave_caller("lamina-monitor", {client})
        cgroup.leave_unit()
        _load(parts, bridged)
        from lamina.container.household import EngineHousehold
        from lamina.container.monitor import look_after
        from lamina.runtime import sealing

        runtime = None
        with suppress(LaminaError):  # which is said where it is missed
            runtime = sealing.sealed(parts.runtime())
        frame = os.read(client, frames.CHUNK)
        if frame:
            attached = frame[:1] == frames.BEGIN_ATTACHED
            look_after(
                frame[1:].decode(), lambda: EngineHousehold(parts.reopened(), runtime), client, attached=attached
            )
        code = 0
    finally:
        os._exit(code)

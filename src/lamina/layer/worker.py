"""The process that unpacks one large layer: an interpreter of its own, so that layers use all cores.

Compressed bytes come on standard input, the answer goes as one JSON document to the descriptor that the specification
names. Started by :mod:`lamina.layer.unpack`; ends with its parent.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from lamina import errors, json, signal
from lamina.graphdriver.contract import DiffForm
from lamina.layer.entry import from_os_error
from lamina.layer.pipeline import UnpackTarget, unpack_in_threads
from lamina.owners import Owners, Range
from lamina.typing import Any


def main(specification: dict[str, Any]) -> None:
    """Unpack and answer; never returns."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's; the parent decides
    _end_with(specification["parent"])
    os.umask(0)
    uids, gids = (tuple(Range(*one) for one in ranges) for ranges in specification["owners"])
    target = UnpackTarget(
        specification["directory"],
        DiffForm.of(specification["form"]),
        specification["tar_split_path"],
        owners=Owners(uids, gids),
    )
    try:
        result = unpack_in_threads(_standard_input(), target)
        answer: dict[str, Any] = {"diff_id": result.diff_id, "size": result.size, "tar_size": result.tar_size}
    except BaseException as error:
        answer = describe(error)
    os.write(specification["answer"], json.dumps(answer).encode())
    os._exit(0)


def describe(error: BaseException) -> dict[str, Any]:
    """An error as JSON: the name of its kind and its message."""
    if isinstance(error, OSError):
        error = from_os_error(b"", error)
    for kind in type(error).__mro__:
        if kind.__module__ == errors.__name__:
            return {"error": kind.__name__, "message": str(error)}
    return {"error": "SystemFailure", "message": f"unpack: {type(error).__name__}: {error}"}


def _standard_input() -> Iterator[bytes]:
    while data := os.read(0, 1 << 20):
        yield data


def _end_with(parent: int) -> None:
    """End this process when ``parent`` ends, whichever of its threads started us (``PR_SET_PDEATHSIG`` asks which)."""
    from select import POLLIN, poll
    from threading import Thread

    descriptor = os.pidfd_open(parent) if os.getppid() == parent else -1
    if descriptor < 0:
        os._exit(1)
    waiter = poll()
    waiter.register(descriptor, POLLIN)

    def wait() -> None:
        waiter.poll()
        os._exit(1)

    Thread(target=wait, name="lamina-parent", daemon=True).start()

"""The process that :func:`~lamina.unionfs.fuse.mounting.mount_in_background` starts.

The mount is described in JSON on standard input; the descriptor named by the argument gets a NUL byte when it can be
used, or a message.
"""

from __future__ import annotations

import os
import sys

from lamina import contextlib, json, signal
from lamina.errors import LaminaError
from lamina.linux import process
from lamina.unionfs.fuse.mounting import serve
from lamina.unionfs.options import Dialect, MountOptions


def main() -> int:
    # Until the mount can be used, it is no one's: whoever asked for it may be killed, and would never end it.
    process.set_parent_death_signal(signal.SIGKILL, parent=int(sys.argv[2]))
    answer = int(sys.argv[1])
    os.set_inheritable(answer, False)
    mountpoint, fields = json.load(sys.stdin)
    fields["lowerdirs"] = tuple(fields["lowerdirs"])
    options = MountOptions(**{**fields, "dialect": Dialect(fields["dialect"])})

    def ready() -> None:
        process.set_parent_death_signal(0)
        os.write(answer, b"\0")
        os.close(answer)

    try:
        serve(options, mountpoint, ready=ready)
    except (LaminaError, OSError) as error:
        _say(answer, str(error))
        return 1
    except Exception as error:
        _say(answer, repr(error))
        raise
    return 0


def _say(answer: int, message: str) -> None:
    with contextlib.suppress(OSError):  # it failed later, and nobody listens any more
        os.write(answer, message.encode(errors="replace"))


if __name__ == "__main__":
    sys.exit(main())

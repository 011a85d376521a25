"""The process that :func:`~lamina.unionfs.fuse.mounting.mount_in_background` starts.

The mount is described in JSON on standard input; the descriptor named by the argument gets a NUL byte when it can be
used, or a message.
"""

from __future__ import annotations

import json
import os
import sys

from lamina.errors import LaminaError
from lamina.unionfs.fuse.mounting import serve
from lamina.unionfs.options import Dialect, MountOptions


def main() -> int:
    answer = int(sys.argv[1])
    os.set_inheritable(answer, False)
    mountpoint, fields = json.load(sys.stdin)
    fields["lowerdirs"] = tuple(fields["lowerdirs"])
    options = MountOptions(**{**fields, "dialect": Dialect(fields["dialect"])})

    def ready() -> None:
        os.write(answer, b"\0")
        os.close(answer)

    try:
        serve(options, mountpoint, ready=ready)
    except (LaminaError, OSError) as error:
        try:
            os.write(answer, str(error).encode())
        except OSError:  # it failed later, and nobody listens any more
            return 1
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""``lamina union umount``."""

from __future__ import annotations

import errno
import os

from lamina.cli.command import Command, Context, Options, at_least
from lamina.cli.flags import switch

COMMAND = Command(
    usage="[OPTIONS] DIRECTORY [DIRECTORY...]",
    summary="End mounted unions",
    arguments=at_least(1),
    flags=(switch("lazy", "Detach it now, though it is in use", short="l"),),
)


def run(context: Context, options: Options) -> int:
    from lamina.unionfs import fuse

    code = 0
    for directory in options.arguments:
        try:
            fuse.unmount(os.path.abspath(directory), lazy=options.on("lazy"))
        except OSError as error:
            context.warn(f"{context.path}: {_reason(directory, error)}")
            code = 1
    return code


def _reason(directory: str, error: OSError) -> str:
    if error.errno == errno.EINVAL:
        return f"{directory} is not mounted"
    if error.errno == errno.EBUSY:
        return f"{directory} is in use; -l detaches it all the same"
    return f"{directory}: {os.strerror(error.errno or 0).lower()}"

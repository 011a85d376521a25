"""Where ``save``, ``export`` and ``cp`` may write."""

from __future__ import annotations

import os
import stat

from lamina.cli.command import CommandError


def check(path: str, failed: str = "", *, directory: bool = False) -> None:
    """Refuse, in docker's words, a path where nothing can be written.

    :param failed: what has failed then: the first words of the message.
    :param directory: whether ``path`` may be a directory.
    :raises CommandError: its directory does not exist, or it is a device, a pipe, a socket, or a directory.
    """
    failed = f"{failed}: " if failed else ""
    parent = os.path.dirname(path.rstrip("/"))
    if parent and not os.path.isdir(parent):
        raise CommandError(f'{failed}invalid output path: directory "{parent}" does not exist')
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return
    if stat.S_ISDIR(mode) and not directory:
        raise CommandError(f'{failed}invalid output path: "{path}" is a directory')
    if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
        raise CommandError(
            f'{failed}invalid output path: "{path}" must be a directory or a regular file: got {_kind(mode)}'
        )


def _kind(mode: int) -> str:
    if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        return "a device"
    return "a named pipe" if stat.S_ISFIFO(mode) else "a socket"

"""A forked child that is to outlive, or outwatch, whoever forked it."""

from __future__ import annotations

import errno
import os
from collections.abc import Collection

from lamina import signal
from lamina.linux import process

_IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGTSTP, signal.SIGWINCH)


def leave_caller(name: str, keep: Collection[int]) -> None:
    """Become a process of its own: session, working directory, descriptors, signals; and the parent of orphans below.

    :param name: shown by ``ps``.
    :param keep: descriptors that stay open, besides the standard ones, which become ``/dev/null``.
    """
    os.setsid()
    os.chdir("/")
    process.set_child_subreaper()
    process.set_name(name)
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for target in (0, 1, 2):
        os.dup2(null, target)
    for text in os.listdir("/proc/self/fd"):
        descriptor = int(text)
        if descriptor > 2 and descriptor not in keep:
            try:
                os.close(descriptor)
            except OSError as error:
                if error.errno != errno.EBADF:  # the directory that listed itself
                    raise
    signal.set_wakeup_fd(-1)
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())

"""A command on a terminal of its own, and what a person there types and sees."""

from __future__ import annotations

import fcntl
import os
import select
import struct
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence

_DEADLINE = 60.0


class Session:
    """One command on a terminal of 33 rows and 77 columns. :ivar seen: everything that it has shown."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._master, slave = os.openpty()
        self.resize(33, 77)
        self.process = subprocess.Popen(
            command,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=environment,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - no threads in tests that use it
        )
        os.close(slave)
        self.seen = ""

    def resize(self, rows: int, columns: int) -> None:
        """The person changes the window's size."""
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def expect(self, text: str) -> None:
        """Read until ``text`` has appeared."""
        end = time.monotonic() + _DEADLINE
        while text not in self.seen:
            assert self._read(end - time.monotonic()), f"{text!r} never came: {self.seen!r}"

    def expect_next(self, text: str) -> None:
        """The same, behind what was expected so before."""
        self.expect(text)
        self.seen = self.seen.partition(text)[2]

    def type(self, line: str) -> None:
        """A line and Enter."""
        self.press(f"{line}\n")

    def press(self, keys: str) -> None:
        os.write(self._master, keys.encode("latin-1"))

    def finish(self) -> int:
        """Read to the end; the exit code."""
        end = time.monotonic() + _DEADLINE
        while self._read(end - time.monotonic()):
            pass
        return self.process.wait(_DEADLINE)

    def close(self) -> None:
        """Kill it if it runs. Idempotent."""
        if self._master < 0:
            return
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._master)
        self._master = -1

    def _read(self, seconds: float) -> bool:
        ready, _, _ = select.select([self._master], [], [], max(seconds, 0))
        if not ready:
            return False
        try:
            data = os.read(self._master, 65536)
        except OSError:
            return False  # the other side is closed
        self.seen += data.decode()
        return bool(data)

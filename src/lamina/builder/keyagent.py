"""SSH agents of the build's own, for ``--ssh`` with keys: OpenSSH's, one for each id that a command needs.

The warden starts it and ends it, so that it does not outlive a build that is killed. Its socket is in a directory that
only the builder enters; commands get at it as at any other agent, see :mod:`lamina.builder.agent`.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterable

from lamina.builder.agent import short_address
from lamina.builder.keyfile import KeyFile
from lamina.builder.warden import AGENT_SOCKET, Warden
from lamina.errors import InvalidArgument, SystemFailure, Unsupported
from lamina.runtime.program import SEARCH

#: Seconds until it takes connections, and between two looks.
_PATIENCE, _PAUSE = 10.0, 0.002


class NoAgent(Unsupported):
    """OpenSSH is not installed."""


def start(warden: Warden, directory: str, keys: Iterable[KeyFile], check: Callable[[], None]) -> str:
    """Start an agent with ``keys``; the path of its socket.

    :param directory: an empty one.
    :param check: raises when there is no use in waiting any longer.
    :raises InvalidArgument: it does not take a key.
    :raises NoAgent: there is none to start.
    """
    agent, adder = _program("ssh-agent"), _program("ssh-add")
    warden.start_agent(agent, directory)
    path = f"{directory}/{AGENT_SOCKET}"
    _wait(path, check)
    for key in keys:
        _add(adder, directory, key)
    return path


def _program(name: str) -> str:
    for directory in SEARCH:
        path = os.path.join(directory, name)
        if os.access(path, os.X_OK):
            return path
    raise NoAgent(f"unable to find '{name}', which --ssh with a key needs: install openssh-client")


def _wait(path: str, check: Callable[[], None]) -> None:
    deadline = time.monotonic() + _PATIENCE
    while True:
        check()
        with socket.socket(socket.AF_UNIX) as probe, short_address(path) as address:
            try:
                probe.connect(address)
                return
            except (FileNotFoundError, ConnectionRefusedError) as error:
                if time.monotonic() > deadline:
                    raise SystemFailure(f"ssh-agent does not answer: {error.strerror}") from error
        time.sleep(_PAUSE)


def _add(program: str, directory: str, key: KeyFile) -> None:
    from subprocess import DEVNULL, PIPE, run

    done = run(
        [program, "-q", "-"],
        input=key.content,
        cwd=directory,
        env={"SSH_AUTH_SOCK": AGENT_SOCKET},  # the whole path may be too long
        stdout=DEVNULL,
        stderr=PIPE,
        start_new_session=True,  # without a terminal to ask for passphrases
        check=False,
    )
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip()
        raise InvalidArgument(f"failed to add {key.path} to agent: {said or f'exit status {done.returncode}'}")

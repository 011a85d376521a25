"""``kill -9`` of the command, the monitor or the container at a random moment of its life."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections import Counter
from contextlib import suppress

from endurance.account import Account, Accountant
from endurance.containers import IMAGE, NETWORK
from support.command import Lamina

#: The latest moment after a start, in seconds.
_LATEST = 0.15
#: How long what goes on in the background may take, in seconds.
_PATIENCE = 20.0

#: What a container may have; each with its chance.
_REMOVED, _ALWAYS = ("--rm",), ("--restart", "always")
_DETACHED = 0.3
_FLAGS = (
    (0.3, _REMOVED),
    (0.2, _ALWAYS),
    (0.3, ("-v", "/data")),
    (0.2, ("--health-cmd", "true", "--health-interval", "20ms")),
    (0.2, ("--init",)),
    (0.2, ("-t",)),
)
_NETWORKS = (
    ("--network", "none"),
    ("--network", "bridge"),
    ("--network", "host"),
    ("--network", "bridge", "-p", "127.0.0.1::80"),
    ("--network", NETWORK, "-p", "127.0.0.1::80"),
    ("--network", NETWORK),
)
_PROGRAMS = (("sleep", "3"), ("true",), ("sh", "-c", "sleep 0.05; exit 3"))
#: The commands that something is killed of. Before those other than ``run`` the container is made, or runs.
_VERBS = ("run", "run", "run", "start", "attach", "restart", "stop", "exec", "rm", "kill", "connect", "pause")
_COMMANDS = {
    "start": ("start", "NAME"),
    "attach": ("start", "-a", "NAME"),
    "restart": ("restart", "-t", "0", "NAME"),
    "stop": ("stop", "-t", "0", "NAME"),
    "exec": ("exec", "NAME", "sleep", "1"),
    "rm": ("rm", "-f", "NAME"),
    "kill": ("kill", "NAME"),
    "connect": ("network", "connect", NETWORK, "NAME"),
    "pause": ("pause", "NAME"),
}
#: Those that need a container that does not run.
_STARTS = ("start", "attach")
_TARGETS = ("command", "monitor", "container", "any")
#: What comes next, and has to put the state right.
_NEXT = (
    ("ps", "-a"),
    ("inspect", "NAME"),
    ("start", "NAME"),
    ("exec", "NAME", "true"),
    ("stop", "-t", "0", "NAME"),
    ("logs", "NAME"),
    ("container", "prune", "-f"),
    ("system", "fsck"),
    ("rm", "-f", "NAME"),
)
_ALIVE = ("running", "restarting", "paused")


class Left(Exception):
    """There is something that the state does not account for. :ivar lines: what."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


class Kills:
    """Rounds of it. :ivar killed: how often what was."""

    def __init__(self, lamina: Lamina, accountant: Accountant, dice: random.Random) -> None:
        self._lamina = lamina
        self._accountant = accountant
        self._dice = dice
        self.killed: Counter[str] = Counter()

    def round(self, name: str, before: Account) -> None:
        """Start something, kill something, let a command come that finds it so; remove what is still there.

        :param before: what there was before, and is to be at the end.
        :raises Left: with what had been done.
        """
        others, done = set(_pids()), []
        verb = self._dice.choice(_VERBS)
        flags = self._flags_of(name)
        words = [IMAGE, *self._dice.choice(_PROGRAMS)]
        if verb == "run":
            arguments = ["run", *(("-d",) if self._dice.random() < _DETACHED else ()), *flags, *words]
        else:
            made = [*(("create",) if verb in _STARTS else ("run", "-d")), *flags, *words]
            self._lamina(*made)
            done.append(" ".join(made))
            arguments = [name if word == "NAME" else word for word in _COMMANDS[verb]]
        done.append(" ".join(arguments))
        command = self._lamina.start(*arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        moment = self._dice.uniform(0, _LATEST)
        time.sleep(moment)
        done.append(f"{self._kill(command.pid, others)} killed after {moment * 1000:.1f} ms")
        following = [name if word == "NAME" else word for word in self._dice.choice(_NEXT)]
        done.append(" ".join(following))
        self._lamina.run(*following)
        try:
            self._look(before, name, command)
            done.append("rm")
            self._lamina.run("rm", "-f", "-v", name)
            self._lamina("volume", "prune", "-f")
            _end(command)
            if left := self._accountant.difference(before, _PATIENCE):
                raise Left(left)
        except Left as error:
            raise Left([*error.lines, f"after: {'; '.join(done)}"]) from None

    def _flags_of(self, name: str) -> list[str]:
        flags = {flag for chance, flag in _FLAGS if self._dice.random() < chance}
        if _ALWAYS in flags:
            flags.discard(_REMOVED)
        return ["--name", name, *self._dice.choice(_NETWORKS), *(word for flag in sorted(flags) for word in flag)]

    def _kill(self, command: int, others: set[int]) -> str:
        """Kill one of what this round has started, of a kind that is waited for a little; what it was."""
        kind = self._dice.choice(_TARGETS)
        deadline = time.monotonic() + _LATEST
        while True:
            present: dict[str, list[int]] = {}
            for pid in set(_pids()) - others:
                present.setdefault("command" if pid == command else _kind(pid), []).append(pid)
            if kind in present or time.monotonic() > deadline:
                break
        if not present:
            return "nothing"
        if kind not in present:
            kind = self._dice.choice(sorted(present))
        with suppress(ProcessLookupError):
            os.kill(self._dice.choice(sorted(present[kind])), signal.SIGKILL)
        self.killed[kind] += 1
        return kind

    def _look(self, before: Account, name: str, command: subprocess.Popen[bytes]) -> None:
        """Whoever looks finds that it runs, or that nothing is there of a container that runs.

        :raises Left: it does not, and something is.
        """
        passing = {kind: names for kind, names in before.items() if kind not in ("file", "state")}
        deadline = time.monotonic() + _PATIENCE
        while True:
            status = self._lamina.run("inspect", "-f", "{{.State.Status}}", name).stdout.strip()
            if status in _ALIVE:
                return
            left = self._accountant.difference(passing, 0)
            if command.poll() is None:
                left.append(f"the command goes on, process {command.pid}")
            if not left:
                return
            if time.monotonic() > deadline:
                raise Left([f"{name} is {status or 'gone'}", *left])


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdecimal()]


def _kind(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/comm") as file:
            name = file.read().strip()
        if os.readlink(f"/proc/{pid}/ns/pid") != os.readlink("/proc/self/ns/pid"):
            return "container"
    except OSError:
        return "other"
    return {"lamina-monitor": "monitor", "lamina-proxy": "proxy", "crun": "runtime"}.get(name, "other")


def _end(command: subprocess.Popen[bytes]) -> None:
    """Its container is gone, so it has nothing to wait for."""
    try:
        command.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        command.kill()
        command.wait()
        raise Left(["the command went on though its container was removed"]) from None

"""Everything that containers can leave behind in this place, as names that can be compared."""

from __future__ import annotations

import fcntl
import os
import re
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

from endurance.place import PASSING
from lamina.linux.netlink import Rtnetlink
from support.command import Lamina

#: What appears some day and is all: the older part of the list of events, and the lock for making it.
_BOUNDED = ("lamina/events.1", "lamina/locks/events")
_NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")
_ID = re.compile(rb'"id":"([0-9a-f]{64})"')
_TCP_LISTEN = "0A"

Account = dict[str, Counter[str]]


class Memory(NamedTuple):
    """What one process has. :ivar resident: kilobytes of its own; files that it has mapped are not counted."""

    name: str
    descriptors: int
    resident: int
    threads: int


class Accountant:
    """Counts what there is for one data root."""

    def __init__(self, lamina: Lamina) -> None:
        self._lamina = lamina
        self._ids: set[str] = set()
        #: The machine's, which may go at any time.
        self._others_mounts = set(_mounts())

    def take(self) -> Account:
        """What there is now, by kind."""
        return {**self.passing(), "file": Counter(self._files()), "state": Counter(self._state())}

    def settled(self) -> Account:
        """The same, once nothing that goes on in the background changes it any more."""
        found = self.take()
        while True:
            time.sleep(0.3)
            again = self.take()
            if again == found:
                return found
            found = again

    def passing(self) -> Account:
        """The same without what stays of a container that has ended: its files and its record."""
        processes = dict(_processes())
        return {
            "mount": Counter(point for point in _mounts() if point not in self._others_mounts),
            "link": Counter(_links()),
            "rule": Counter(_rules()),
            "namespace": Counter(self._namespaces(processes)),
            "control group": Counter(self._control_groups()),
            "process": Counter(f"{line} ({pid})" for pid, line in processes.items()),
            "socket": Counter(_sockets()),
            "lock": Counter(self._locks()),
            "run directory": Counter(self._run_directories()),
        }

    def difference(self, before: Account, seconds: float) -> list[str]:
        """One line for each thing that there is more or less of than ``before``, after up to so many ``seconds``.

        Only kinds that ``before`` has are looked at. The wait is for what is freed in the background.
        """
        deadline = time.monotonic() + seconds
        while True:
            now = self.take() if "file" in before else self.passing()
            lines = [f"left: {kind} {name}" for kind in now for name in now[kind] - before[kind]]
            lines += [f"gone: {kind} {name}" for kind in now for name in before[kind] - now[kind]]
            if not lines or time.monotonic() > deadline:
                return lines
            time.sleep(0.05)

    def memory(self) -> dict[int, Memory]:
        """What each process has, by pid."""
        return {pid: found for pid, line in _processes() if (found := _memory(pid, line)) is not None}

    def _files(self) -> Iterator[str]:
        """Files below the root that no image explains, and what is in places for passing files."""
        root = self._lamina.root
        for top in (root, *PASSING):
            for directory, names, files in os.walk(top):
                for name in (*names, *files):
                    path = os.path.join(directory, name)
                    if path.removeprefix(f"{root}/") not in _BOUNDED:
                        yield path
                names[:] = [name for name in names if not os.path.ismount(os.path.join(directory, name))]

    def _state(self) -> Iterator[str]:
        for noun, arguments in (("container", ("ps", "-aq")), ("volume", ("volume", "ls", "-q"))):
            yield from (f"{noun} {name}" for name in self._lamina(*arguments).split())
        yield from (f"network {name}" for name in self._lamina("network", "ls", "-q").split())

    def _namespaces(self, processes: dict[int, str]) -> set[str]:
        """Those that a process is in, has open or has mounted."""
        found = set()
        for pid in processes:
            with suppress(OSError):
                found |= {os.readlink(f"/proc/{pid}/ns/{kind}") for kind in _NAMESPACES}
                for number in os.listdir(f"/proc/{pid}/fd"):
                    target = os.readlink(f"/proc/{pid}/fd/{number}")
                    found |= {target} if target.partition(":")[0] in _NAMESPACES else set()
        with open("/proc/self/mountinfo") as table:
            mounted = [line.split() for line in table if " - nsfs " in line]
        return found | {fields[3] for fields in mounted if fields[4] not in self._others_mounts}

    def _control_groups(self) -> Iterator[str]:
        """Those of containers of this root: other groups on the machine are not ours to count."""
        self._learn_ids()
        for directory, names, _ in os.walk("/sys/fs/cgroup"):
            for name in names:
                if self._ids & set(re.findall("[0-9a-f]{64}", name)):
                    yield os.path.join(directory, name)

    def _run_directories(self) -> list[str]:
        try:
            return os.listdir(f"{self._lamina.root}/lamina/run")
        except FileNotFoundError:
            return []  # no container has run

    def _learn_ids(self) -> None:
        for name in ("events", "events.1"):
            with suppress(FileNotFoundError), open(f"{self._lamina.root}/lamina/{name}", "rb") as file:
                self._ids.update(id.decode() for id in _ID.findall(file.read()))

    def _locks(self) -> Iterator[str]:
        """Files that somebody holds locked, whoever that is: the one who took the lock may have left it to a child."""
        for top in ("locks", "run", "journal", "network"):
            for directory, _, files in os.walk(f"{self._lamina.root}/lamina/{top}"):
                for path in (os.path.join(directory, name) for name in files):
                    with suppress(OSError), open(path, "rb") as file:  # a socket is not opened
                        try:
                            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                        except BlockingIOError:
                            yield path


def _mounts() -> Iterator[str]:
    with open("/proc/self/mountinfo") as table:
        yield from (line.split()[4] for line in table)


def _links() -> Iterator[str]:
    with Rtnetlink() as links:
        yield from (f"{link.kind} {link.name}" for link in links.links())


def _rules() -> list[str]:
    """Words of the packet filter: elements of sets come in any order."""
    listed = subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True, check=True)
    return re.split(r"[\s,]+", listed.stdout)


def _processes() -> Iterator[tuple[int, str]]:
    """Pid and command line of all but the first process and this one."""
    for name in os.listdir("/proc"):
        if name.isdecimal() and int(name) not in (1, os.getpid()):
            with suppress(OSError):
                with open(f"/proc/{name}/cmdline", "rb") as file:
                    line = file.read().replace(b"\0", b" ").decode(errors="replace").strip()
                if not line:
                    with open(f"/proc/{name}/stat") as file:
                        line = file.read().rpartition(")")[0]  # a dead one that nobody has waited for
                yield int(name), line


def _sockets() -> Iterator[str]:
    """Addresses of the host at which something listens."""
    for kind in ("tcp", "tcp6", "udp", "udp6"):
        with open(f"/proc/self/net/{kind}") as table:
            for fields in (line.split() for line in table.readlines()[1:]):
                if fields[3] == _TCP_LISTEN or kind.startswith("udp"):
                    yield f"{kind} {fields[1]}"
    with open("/proc/self/net/unix") as table:
        yield from (f"unix {fields[7]}" for line in table.readlines()[1:] if len(fields := line.split()) > 7)


def _memory(pid: int, line: str) -> Memory | None:
    try:
        with open(f"/proc/{pid}/status") as status:
            fields = dict(field.split(":", 1) for field in status.read().splitlines())
        descriptors = len(os.listdir(f"/proc/{pid}/fd"))
        return Memory(line, descriptors, int(fields["RssAnon"].split()[0]), int(fields["Threads"]))
    except (OSError, KeyError):
        return None  # it has ended

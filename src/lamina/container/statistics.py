"""``stats``: what a container uses now."""

from __future__ import annotations

import time
from collections.abc import Sequence

from lamina.container import controlgroup
from lamina.container.record import Container
from lamina.runtime import usage
from lamina.runtime.usage import Traffic, Usage
from lamina.typing import NamedTuple

#: Docker's: the time between the two readings that a share of the processors is computed from.
INTERVAL = 1.0


class Reading(NamedTuple):
    """What a container has used so far; all 0 for one that does not run.

    :ivar networks: counters by interface; none in the host's network.
    """

    usage: Usage
    networks: dict[str, Traffic]


class Statistics(NamedTuple):
    """Two readings of one container, the later one first."""

    container: Container
    now: Reading
    before: Reading

    @property
    def processor_percent(self) -> float:
        """Share of one processor in percent, as Docker computes it."""
        used = self.now.usage.processor - self.before.usage.processor
        passed = self.now.usage.system - self.before.usage.system
        return used / passed * self.now.usage.processors * 100 if used > 0 and passed > 0 else 0.0

    @property
    def memory(self) -> int:
        """Bytes without the page cache that can be dropped at once."""
        found = self.now.usage
        return found.memory - found.inactive if found.inactive < found.memory else found.memory

    @property
    def memory_percent(self) -> float:
        limit = self.now.usage.limit
        return self.memory / limit * 100 if limit else 0.0

    @property
    def received(self) -> int:
        """Bytes over all networks."""
        return sum(interface.received for interface in self.now.networks.values())

    @property
    def sent(self) -> int:
        return sum(interface.sent for interface in self.now.networks.values())


def take(container: Container) -> Reading:
    """A reading now."""
    if not container.running:
        return Reading(Usage(), {})
    networks = {} if container.network_mode == "host" else usage.traffic(container.pid)
    return Reading(usage.read(controlgroup.of(container)), networks)


def measure(containers: Sequence[Container], before: dict[str, Reading] | None = None) -> list[Statistics]:
    """Statistics of each. Without earlier readings (by ID) two are taken, :data:`INTERVAL` apart."""
    if before is None:
        before = {container.id: take(container) for container in containers}
        if any(container.running for container in containers):
            time.sleep(INTERVAL)
    found = []
    for container in containers:
        now = take(container)
        found.append(Statistics(container, now, before.get(container.id, now)))
    return found

"""Whether and when a container that ended is started again: ``--restart``.

Rules: Docker 20.10's restart manager. The first pause takes 100 ms, each further one twice as long up to a minute; a
run of ten seconds begins anew.
"""

from collections.abc import Mapping

from lamina.errors import InvalidArgument
from lamina.typing import Any, NamedTuple

NO, ALWAYS, ON_FAILURE, UNLESS_STOPPED = "no", "always", "on-failure", "unless-stopped"
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 60.0
_GOOD_RUN = 10.0


class InvalidPolicy(InvalidArgument):
    """No such restart policy."""


class RestartPolicy(NamedTuple):
    """``HostConfig.RestartPolicy``. ``limit`` is the largest number of restarts in a row; 0 for none."""

    name: str = NO
    limit: int = 0

    @classmethod
    def of(cls, host_config: Mapping[str, Any]) -> "RestartPolicy":
        document = host_config.get("RestartPolicy") or {}
        return cls(document.get("Name") or NO, int(document.get("MaximumRetryCount") or 0))

    def check(self) -> None:
        """Raises :class:`InvalidPolicy` with Docker's message."""
        if self.name not in (NO, ALWAYS, ON_FAILURE, UNLESS_STOPPED):
            raise InvalidPolicy(f"invalid restart policy '{self.name}'")
        if self.name != ON_FAILURE and self.limit:
            raise InvalidPolicy(f"maximum retry count cannot be used with restart policy '{self.name}'")
        if self.limit < 0:
            raise InvalidPolicy("maximum retry count cannot be negative")

    def wants(self, code: int, restarts: int, *, stopped: bool) -> bool:
        """Whether to start again after a run that ended with ``code``.

        :param restarts: how often it was started again since a person started it.
        :param stopped: whether a person stopped it.
        """
        if self.name == ON_FAILURE:
            return code != 0 and (self.limit == 0 or restarts < self.limit)
        return self.name == ALWAYS or (self.name == UNLESS_STOPPED and not stopped)


class Pauses:
    """How long to wait before each restart, in seconds."""

    def __init__(self) -> None:
        self._last = 0.0

    def after(self, run: float) -> float:
        """The pause after a run of ``run`` seconds."""
        if run >= _GOOD_RUN:
            self._last = 0.0
        self._last = min(self._last * 2, _LONGEST_PAUSE) if self._last else _FIRST_PAUSE
        return self._last

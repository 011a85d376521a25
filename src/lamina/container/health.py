"""Health checks: what they are and what their results mean.

Rules and texts: Docker 20.10's. A check that works makes the container healthy, some that fail in a row make it
unhealthy; those of the start period don't count while it has never been healthy.
"""

from collections.abc import Mapping

from lamina.errors import InvalidArgument
from lamina.oci import timestamp
from lamina.typing import Any, NamedTuple

STARTING, HEALTHY, UNHEALTHY = "starting", "healthy", "unhealthy"
_NANOSECONDS = 10**9
_MILLISECOND = 10**6
_INTERVAL, _TIMEOUT, _RETRIES = 30 * _NANOSECONDS, 30 * _NANOSECONDS, 3
_LOG_LENGTH = 5


class InvalidHealthCheck(InvalidArgument):
    """No such health check."""


class HealthCheck(NamedTuple):
    """``Config.Healthcheck``, durations in nanoseconds. ``command`` is a program with its arguments."""

    command: tuple[str, ...]
    interval: int = _INTERVAL
    timeout: int = _TIMEOUT
    start_period: int = 0
    retries: int = _RETRIES

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> "HealthCheck | None":
        """``None`` where there is none to run."""
        document = config.get("Healthcheck") or {}
        kind, *words = document.get("Test") or ("",)
        if kind == "CMD-SHELL":
            words = [*(config.get("Shell") or ("/bin/sh", "-c")), *words]
        elif kind != "CMD":
            return None
        return cls(
            tuple(words),
            document.get("Interval") or _INTERVAL,
            document.get("Timeout") or _TIMEOUT,
            document.get("StartPeriod") or 0,
            document.get("Retries") or _RETRIES,
        )


class Result(NamedTuple):
    """One check; times in nanoseconds since 1970."""

    start: int
    end: int
    code: int
    output: str


def check_settings(document: Mapping[str, Any] | None) -> None:
    """Refuse a ``Healthcheck`` that can't be, with Docker's words. Raises :class:`InvalidHealthCheck`."""
    for member in ("Interval", "Timeout", "StartPeriod"):
        value = (document or {}).get(member) or 0
        if value and value < _MILLISECOND:
            raise InvalidHealthCheck(f"{member} in Healthcheck cannot be less than 1ms")
    if ((document or {}).get("Retries") or 0) < 0:
        raise InvalidHealthCheck("Retries in Healthcheck cannot be negative")


def new_state() -> dict[str, Any]:
    """``State.Health`` at the start of a run."""
    return {"Status": STARTING, "FailingStreak": 0, "Log": []}


def note(state: dict[str, Any], check: HealthCheck, result: Result, started_at: int) -> None:
    """Change ``State.Health`` by a result. ``started_at``: the run's beginning."""
    entry = {
        "Start": timestamp.text(result.start),
        "End": timestamp.text(result.end),
        "ExitCode": result.code,
        "Output": result.output,
    }
    state["Log"] = [*(state.get("Log") or ()), entry][-_LOG_LENGTH:]
    if result.code == 0:
        state["Status"], state["FailingStreak"] = HEALTHY, 0
        return
    if state["Status"] == STARTING and result.start - started_at < check.start_period:
        return
    state["FailingStreak"] += 1
    if state["FailingStreak"] >= check.retries:
        state["Status"] = UNHEALTHY

"""A container as it is on disk: ``config.v2.json`` and ``hostconfig.json`` in Docker's shape.

Source of the members: files of Docker 20.10 (``container.Container`` and ``container.HostConfig`` as Go marshals them).
Members that lamina does not use are kept as they were read, so that a container that ``dockerd`` made survives.
"""

from __future__ import annotations

from lamina.container import health
from lamina.oci import timestamp
from lamina.typing import Any

#: What inspect and ``ps`` call the states.
CREATED, RUNNING, PAUSED, EXITED, DEAD, REMOVING, RESTARTING = (
    "created",
    "running",
    "paused",
    "exited",
    "dead",
    "removing",
    "restarting",
)


def new_state() -> dict[str, Any]:
    """State of a container that never ran."""
    return {
        "Running": False,
        "Paused": False,
        "Restarting": False,
        "OOMKilled": False,
        "RemovalInProgress": False,
        "Dead": False,
        "Pid": 0,
        "ExitCode": 0,
        "Error": "",
        "StartedAt": timestamp.ZERO,
        "FinishedAt": timestamp.ZERO,
        "Health": None,
    }


class Container:
    """One container's documents and what they mean.

    :ivar document: ``config.v2.json``.
    :ivar host_config: ``hostconfig.json``.
    :ivar warnings: what the host could not do when it was made, for the user; not on disk.
    """

    __slots__ = ("document", "host_config", "warnings")

    def __init__(self, document: dict[str, Any], host_config: dict[str, Any]) -> None:
        self.document = document
        self.host_config = host_config
        self.warnings: list[str] = []

    @property
    def id(self) -> str:
        value: str = self.document["ID"]
        return value

    @property
    def name(self) -> str:
        """Without the leading slash that is on disk."""
        value: str = self.document["Name"]
        return value.removeprefix("/")

    @property
    def image_id(self) -> str:
        value: str = self.document["Image"]
        return value

    @property
    def config(self) -> dict[str, Any]:
        value: dict[str, Any] = self.document["Config"]
        return value

    @property
    def state(self) -> dict[str, Any]:
        value: dict[str, Any] = self.document["State"]
        return value

    @property
    def mount_points(self) -> dict[str, dict[str, Any]]:
        """By destination."""
        value: dict[str, dict[str, Any]] | None = self.document.get("MountPoints")
        return value or {}

    @property
    def running(self) -> bool:
        return bool(self.state["Running"])

    @property
    def pid(self) -> int:
        return int(self.state["Pid"])

    @property
    def exit_code(self) -> int:
        return int(self.state["ExitCode"])

    @property
    def created(self) -> str:
        value: str = self.document["Created"]
        return value

    @property
    def command(self) -> list[str]:
        """The program and its arguments."""
        return [self.document["Path"], *(self.document["Args"] or ())]

    @property
    def auto_remove(self) -> bool:
        return bool(self.host_config.get("AutoRemove"))

    @property
    def network_mode(self) -> str:
        value: str = self.host_config.get("NetworkMode") or "default"
        return value

    @property
    def status(self) -> str:
        """One of the words above."""
        state = self.state
        if state["Running"]:
            if state["Paused"]:
                return PAUSED
            return RESTARTING if state["Restarting"] else RUNNING
        if state.get("RemovalInProgress"):
            return REMOVING
        if state["Dead"]:
            return DEAD
        return CREATED if state["StartedAt"] == timestamp.ZERO else EXITED

    # What the monitor records

    def set_running(self, pid: int) -> None:
        self.state.update(Running=True, Paused=False, Restarting=False, OOMKilled=False, Dead=False)
        self.state.update(Pid=pid, ExitCode=0, Error="", StartedAt=timestamp.now())
        has_check = health.HealthCheck.of(self.config) is not None
        self.state["Health"] = health.new_state() if has_check else None
        self.document["HasBeenStartedBefore"] = True

    def set_exited(self, code: int, *, oom_killed: bool = False, error: str = "") -> None:
        self.state.update(Running=False, Paused=False, Restarting=False, Pid=0, ExitCode=code)
        self.state.update(OOMKilled=oom_killed, FinishedAt=timestamp.now(), Error=error)
        if self.state.get("Health"):
            self.state["Health"]["Status"] = health.UNHEALTHY

    def set_restarting(self) -> None:
        """It has ended, as noted, and will be started again. Docker counts it among the running ones meanwhile."""
        self.state.update(Running=True, Restarting=True)
        self.document["RestartCount"] = int(self.document.get("RestartCount") or 0) + 1

    def set_stopped(self) -> None:
        """It is not started again after all."""
        self.state.update(Running=False, Restarting=False)

    def set_failed(self, code: int, message: str) -> None:
        """The start did not work; the container is as it was, but for the reason."""
        self.state.update(Running=False, Paused=False, Restarting=False, Pid=0, ExitCode=code, Error=message)

"""What a ``RUN`` is to do, and how it may end: values that cost nothing to import."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from lamina.errors import LaminaError
from lamina.typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from lamina.builder.stage import StageState


class StepMount(NamedTuple):
    """Something that the command sees at ``target`` and no layer gets.

    :ivar kind: ``bind``, ``tmpfs``, or ``overlay`` for a directory that can be written to and stays as it is.
    :ivar source: host path; ``""`` for a tmpfs.
    :ivar options: of a tmpfs or an overlay.
    """

    kind: str
    target: str
    source: str = ""
    read_only: bool = True
    options: str = ""

    @property
    def is_file(self) -> bool:
        return self.kind == "bind" and not os.path.isdir(self.source)


class Job(NamedTuple):
    """One command.

    :ivar config: the stage's configuration.
    :ivar arguments: additional environment.
    :ivar limits: members of ``HostConfig``.
    :ivar insecure: whether it gets all privileges.
    """

    command: list[str]
    config: dict[str, Any]
    arguments: dict[str, str]
    network: str
    mounts: tuple[StepMount, ...] = ()
    limits: Mapping[str, Any] = MappingProxyType({})
    insecure: bool = False


class FailedStage(NamedTuple):
    """A stage whose command failed.

    :ivar state: as the command left it.
    :ivar mounts: what the command saw besides; there while the build goes on.
    :ivar environment: variables that go with the mounts.
    """

    state: StageState
    mounts: tuple[StepMount, ...]
    environment: Mapping[str, str]


class CommandFailed(LaminaError):
    """The command of a ``RUN`` ended with another code than 0.

    :ivar code: its exit code.
    :ivar tail: the end of what it wrote.
    :ivar stage: what the command left and what it had, when that is to be looked into.
    :ivar kept: the image of the stage as the command left it; ``""`` when it was not to be kept.
    """

    def __init__(self, command: Iterable[str], code: int, tail: bytes, *, oom_killed: bool) -> None:
        reason = " (out of memory)" if oom_killed else ""
        super().__init__(f"The command '{' '.join(command)}' returned a non-zero code: {code}{reason}")
        self.code = code
        self.tail = tail
        self.stage: FailedStage | None = None
        self.kept = ""

"""One step's layer: its work done in a workspace. Only imported when something is not in the cache."""

from __future__ import annotations

from lamina.builder import execution
from lamina.builder.distant import AnyLayer
from lamina.builder.job import CommandFailed
from lamina.builder.progress import StepProgress
from lamina.builder.session import Session
from lamina.builder.work import Work
from lamina.digest import DiffID
from lamina.layer.staged import Staged
from lamina.typing import NamedTuple

#: DiffID of a tar without entries: 1024 zero bytes.
EMPTY = DiffID("sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef")


class Made(NamedTuple):
    """What came of a step's work.

    :ivar layer: ``None`` when no file changed.
    :ivar failure: of the command, when the stage is to be kept as that left it.
    """

    layer: Staged | None
    diff_id: DiffID | None = None
    size: int = 0
    failure: CommandFailed | None = None


def make(session: Session, work: Work, parent: AnyLayer | None, progress: StepProgress, *, apart: bool) -> Made:
    """Do the work in a new layer on ``parent``; nothing of that is left when it fails.

    :param apart: the work sees nothing of the layers below.
    """
    staged = session.stage_layer(parent)
    failure = None
    try:
        with staged.work(execution.initialiser(work, session), apart=apart) as workspace:
            try:
                execution.perform(work, session, workspace.path, progress)
            except CommandFailed as error:
                if not session.request.keep_failed:
                    raise
                failure = error
            result = workspace.seal(latest=session.request.epoch, defer=True)
        session.sweep(workspace.remove)
    except BaseException:
        session.drop(staged)
        raise
    if result.diff_id == EMPTY:
        session.drop(staged)
        return Made(None, failure=failure)
    return Made(staged, result.diff_id, result.size, failure)

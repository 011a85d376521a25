"""Layers that are made before their turn: those of ``COPY --link`` and ``ADD --link``, which look at no layer below.

While a stage is busy with one step, the copies after it that need nothing but the context, an image or a stage that is
finished are made beside it. Such a layer is staged on nothing, and moved onto the stage's layers when its turn comes.
Then its error is raised too: a build fails at the step where it would fail if one came after the other. What has not
begun by then is left to the stage.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from types import TracebackType

from lamina.builder import making
from lamina.builder.copies import FindPlace, Instruction, Resolved, resolve
from lamina.builder.making import Made
from lamina.builder.progress import CANCELLED
from lamina.builder.session import Session
from lamina.contextlib import ExitStack, suppress
from lamina.errors import Cancelled


class Early:
    """One copy that is made early. A context manager for its turn: leaving it releases what it needed.

    A layer that nobody took by then is dropped, and a step that could not be done ends as the block does.
    """

    def __init__(self, session: Session, instruction: Instruction, name: str, place: FindPlace) -> None:
        self._session = session
        self._instruction = instruction
        self._name = name
        self._place = place
        self._stack = ExitStack()
        self._resolved: Resolved | None = None
        self._made: Made | None = None
        self._error: BaseException | None = None

    @property
    def source(self) -> str:
        """What ``--from`` names."""
        return self._instruction.stage

    def run(self) -> None:
        """Make it, in any thread. Raises nothing: what goes wrong is said when its turn comes."""
        try:
            self._session.check()
            self._resolved = resolve(self._session, self._instruction, self._place, self._stack)
            if self._session.lookup.apart(self._resolved.apart) is None:
                self._make(self._resolved)
        except BaseException as error:
            self._error = error

    def _make(self, resolved: Resolved) -> None:
        shown = self._stack.enter_context(ExitStack())
        progress = shown.enter_context(self._session.step(self._name))
        self._made = making.make(self._session, resolved.work, None, progress, apart=True)
        shown.close()

    def __enter__(self) -> Early:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        made = self.take()
        if made is not None and made.layer is not None:
            self._session.drop(made.layer)
        self._stack.__exit__(kind, error, traceback)

    @property
    def resolved(self) -> Resolved:
        """What the instruction is about. Raises what went wrong."""
        if self._error is not None:
            raise self._error
        assert self._resolved is not None
        return self._resolved

    def take(self) -> Made | None:
        """The layer, the caller's from now on; ``None`` when it is for the caller to make."""
        made, self._made = self._made, None
        return made


class Ahead:
    """The early copies of one stage. A context manager: leaving it gives up those whose turn has not come.

    :param is_ready: whether what ``--from`` names need not be built first.
    :param prepare: called before the first thread.
    """

    def __init__(self, session: Session, is_ready: Callable[[str], bool], prepare: Callable[[], None]) -> None:
        self._session = session
        self._is_ready = is_ready
        self._prepare = prepare
        self._waiting: dict[int, Early] = {}
        self._begun: dict[int, tuple[Early, Future[None]]] = {}

    def __enter__(self) -> Ahead:
        return self

    def __exit__(self, *exception: object) -> None:
        self._waiting.clear()
        begun, self._begun = self._begun, {}
        for _, future in begun.values():
            future.cancel()
        for early, future in begun.values():
            if not future.cancelled():
                future.result()
                with suppress(Cancelled), early:
                    raise Cancelled(CANCELLED)

    def add(self, number: int, early: Early) -> None:
        """Have the instruction with that number made early."""
        self._waiting[number] = early

    def begin(self) -> None:
        """Begin with those that are ready."""
        ready = [number for number, early in self._waiting.items() if self._is_ready(early.source)]
        if ready:
            self._prepare()
        for number in ready:
            early = self._waiting.pop(number)
            self._begun[number] = early, self._session.workers.submit(early.run)

    def claim(self, number: int) -> Early | None:
        """The early copy of an instruction whose turn has come, finished; ``None`` when it has not begun."""
        self._waiting.pop(number, None)
        if number not in self._begun:
            return None
        early, future = self._begun.pop(number)
        if future.cancel():
            return None
        future.result()
        return early

"""One stage's instructions, carried out one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from lamina.builder import metadata, mounting, texts
from lamina.builder.cache import Step
from lamina.builder.copies import FindPlace, Instruction, resolve
from lamina.builder.distant import AnyLayer
from lamina.builder.job import CommandFailed, FailedStage, Job
from lamina.builder.progress import StepProgress
from lamina.builder.session import Session
from lamina.builder.stage import Done, StageState
from lamina.builder.work import MakeDirectory, Work
from lamina.contextlib import ExitStack, suppress
from lamina.digest import DiffID, chain_id
from lamina.dockerfile import instructions as kinds
from lamina.dockerfile.expansion import expand, expanded
from lamina.dockerfile.failure import InvalidInstruction
from lamina.dockerfile.parser import parse_instruction
from lamina.errors import InvalidArgument, LaminaError, NotFound, Unsupported
from lamina.typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from lamina.builder.ahead import Ahead, Early
    from lamina.builder.making import Made

#: What ``RUN --security`` may say beside ``sandbox``, and what must be allowed for it.
_INSECURE, _ENTITLEMENT = "insecure", "security.insecure"


class Shown(NamedTuple):
    """How a step is told of: ``[stage 2/5] RUN make``."""

    stage: str
    number: int
    total: int

    def of(self, text: str) -> str:
        stage = f"{self.stage} " if self.stage else ""
        return f"[{stage}{self.number}/{self.total}] {text}"


class StageBuilder:
    """Carries out the instructions of one stage.

    :param place: finds what ``--from`` names.
    :param ahead: gives the stage's early copies; asked once something is not in the cache. ``None`` for none.
    """

    def __init__(
        self,
        session: Session,
        state: StageState,
        escape: str,
        place: FindPlace,
        ahead: Callable[[], Ahead] | None = None,
    ) -> None:
        self._session = session
        self._state = state
        self._escape = escape
        self._place = place
        self._location = kinds.Location("", 0, 0)
        self._find_ahead = ahead
        self._ahead: Ahead | None = None
        self._number = 0
        self._coming: Iterator[tuple[kinds.Instruction, Shown]] = iter(())

    def triggers(self) -> None:
        """Carry out the base image's ``ONBUILD`` instructions."""
        config = self._state.config
        pending = list(config.get("OnBuild") or ())
        config["OnBuild"] = None
        for number, text in enumerate(pending, 1):
            instruction = parse_instruction(text, escape=self._escape, name="ONBUILD")
            self.carry_out(instruction, Shown("onbuild", number, len(pending)))

    def expect(self, coming: Iterable[tuple[kinds.Instruction, Shown]]) -> None:
        """Say what will be carried out from now on, in this order: some of it may be begun before its turn."""
        self._coming = iter(coming)

    def carry_out(self, instruction: kinds.Instruction, shown: Shown) -> None:
        """One instruction."""
        state = self._state
        self._number += 1
        next(self._coming, None)
        self._location = instruction.origin.location
        wanted = self._expanded(instruction)
        _refuse_unsupported(wanted)
        name = shown.of(instruction.origin.text)
        if isinstance(wanted, kinds.Run):
            self._run(wanted, name)
        elif isinstance(wanted, (kinds.Copy, kinds.Add)):
            self._copy(wanted, name)
        elif isinstance(wanted, kinds.Workdir):
            self._workdir(wanted, name)
        else:
            comment = metadata.apply(state, wanted)
            assert comment is not None, wanted
            command = texts.comment_command(state.config, comment)
            self._step(command, state.next_key("metadata", comment), None, name)

    def _expanded(self, instruction: kinds.Instruction) -> kinds.Instruction:
        """With its variables replaced."""
        wanted = expanded(instruction, self._state.variables(), self._escape)
        return self._with_defaults(wanted) if isinstance(wanted, kinds.Arg) else wanted

    def _with_defaults(self, instruction: kinds.Arg) -> kinds.Arg:
        """Its defaults expanded, each with those before it. One that is not used need not make sense."""
        state, found = self._state, []
        known, environment = state.variables(), state.environment()
        for argument in instruction.arguments:
            given, default = state.arguments.given(argument.name), argument.default
            if default is not None:
                with suppress(*((InvalidInstruction,) if given is not None else ())):
                    default = expand(default, known, self._escape)
            value = default if given is None else given
            if value is not None and argument.name not in environment:
                known[argument.name] = value
            found.append(argument._replace(default=default))
        return instruction._replace(arguments=tuple(found))

    def copy_all(self, name: str, shown: Shown) -> None:
        """``FROM`` a directory: all that is in the named context ``name``."""
        text = f"FROM {name}"
        self._location = kinds.Location("--build-context", 1, 1)
        origin = kinds.Origin("FROM", text, self._location)
        self._copy(kinds.Copy(origin, (".",), (), "/", stage=name), shown.of(text))

    def label(self, name: str, value: str) -> None:
        """``--label``: an instruction at the very end."""
        self._location = kinds.Location("--label", 1, 1)
        origin = kinds.Origin("LABEL", f"LABEL {name}={value}", self._location)
        wanted = kinds.Label(origin, (kinds.Pair(name, value),))
        comment = metadata.apply(self._state, wanted)
        command = texts.comment_command(self._state.config, comment or "")
        self._step(command, self._state.next_key("metadata", comment), None, "")

    # Copies before their turn

    def _look_ahead(self) -> None:
        """Begin with the copies after this instruction that don't need the layers before them.

        Only where something is not in the cache: what comes after that can hardly be there either.
        """
        if self._find_ahead is None:
            return
        from lamina.builder.ahead import Early  # most steps are cached

        for number, instruction, name in self._copies_apart():
            self._ahead = self._ahead or self._find_ahead()
            self._ahead.add(number, Early(self._session, instruction, name, self._place))
        if self._ahead is not None:
            self._ahead.begin()

    def _copies_apart(self) -> Iterator[tuple[int, Instruction, str]]:
        """Those to come whose layer does not depend on others, with their numbers and how they are shown; once."""
        twin = StageBuilder(self._session, self._state.copied(), self._escape, self._place)
        with suppress(LaminaError):  # it is raised again when its turn comes
            for number, (instruction, shown) in enumerate(self._coming, self._number + 1):
                copy = twin._rehearse(instruction)
                if copy is not None and copy.is_apart:
                    yield number, copy, shown.of(instruction.origin.text)

    def _rehearse(self, instruction: kinds.Instruction) -> Instruction | None:
        """What it does to the configuration, and nothing else; more of a ``COPY`` or an ``ADD``."""
        state = self._state
        wanted = self._expanded(instruction)
        if isinstance(wanted, (kinds.Copy, kinds.Add)):
            return self._instruction(wanted)
        if isinstance(wanted, kinds.Workdir):
            state.config["WorkingDir"] = metadata.working_directory(state.config, wanted.path)
        else:
            metadata.apply(state, wanted)
        return None

    # Steps

    def _step(
        self,
        command: Sequence[str],
        key: str,
        work: Callable[[], Work] | None,
        name: str,
        *,
        comment: str = "",
        apart: str = "",
        early: Early | None = None,
    ) -> None:
        """One entry of the history: from the cache, or made now.

        :param command: words of ``created_by``.
        :param work: says what changes files, once that has to be done; ``None`` when nothing does.
        :param name: how it is shown; ``""`` for not at all.
        :param apart: the key of a step whose layer would be the same on any others; ``""`` for others.
        :param early: the work as it was done before its turn, and told of; ``None`` where it was not.
        """
        state, session = self._state, self._session
        state.container_config = {**state.config, "Cmd": list(command)}
        found = session.lookup.find(state, session.dated(key), texts.created_by(command))
        if found is not None:
            self._reached(found.step, found.layer)
            if work is not None and name:
                with session.step(name) as progress:
                    progress.cached = True
            return
        if session.request.only_cached:
            raise NotBuilt(f"{name or texts.created_by(command)}: not in the cache")
        state.cached = False
        self._look_ahead()
        diff_id, size = None, 0
        made = early.take() if early is not None else None
        if made is not None:
            diff_id, size = self._placed(made)
        elif work is not None:
            wanted = work()
            session.lookup.near(state.layer)
            with session.step(name) as progress:
                moved = self._moved(apart, progress) if apart else None
                diff_id, size = moved or self._made(wanted, progress, apart=bool(apart))
        step = Step(session.dated(key), None, diff_id, self._entry(command, comment, diff_id), size)
        self._reached(step, state.layer)
        session.lookup.remember(state.layer, step)
        if apart and diff_id is not None:
            session.lookup.remember(state.layer, step._replace(key=session.dated(apart)))

    def _placed(self, made: Made) -> tuple[DiffID | None, int]:
        """Put a layer that was made before its turn onto the state's."""
        state = self._state
        if made.layer is not None:
            self._session.move(made.layer, state.layer)
            state.layer = made.layer
        return made.diff_id, made.size

    def _moved(self, apart: str, progress: StepProgress) -> tuple[DiffID, int] | None:
        """Put a layer that was made on others onto the state's; ``None`` when there is none."""
        state, session = self._state, self._session
        known = session.lookup.apart(apart)
        if known is None:
            return None
        step, layer = known
        assert step.diff_id is not None
        there = session.hold(chain_id(state.chain, step.diff_id))
        if there is None:
            staged = session.stage_layer(state.layer)
            try:
                result = staged.fill(session.layers.tar(layer))
            except BaseException:
                session.drop(staged)
                raise
            assert result.diff_id == step.diff_id, "a layer's tar is what its DiffID says, or reading it fails"
        progress.cached = True
        state.layer = there or staged
        return step.diff_id, step.size

    def _reached(self, step: Step, layer: AnyLayer | None) -> None:
        """The next instruction starts from here."""
        state = self._state
        state.key, state.layer = step.key, layer
        state.add_history(step.history, step.diff_id)
        state.trail.append(Done(step, layer, self._location))

    def _made(self, work: Work, progress: StepProgress, *, apart: bool) -> tuple[DiffID | None, int]:
        """Do the work in a new layer on the state's."""
        from lamina.builder import making  # most steps are cached, and need nothing of what it needs

        state, session = self._state, self._session
        made = making.make(session, work, state.layer, progress, apart=apart)
        state.layer = made.layer or state.layer
        if made.failure is not None:
            state.add_history(self._entry(state.container_config["Cmd"], "", made.diff_id), made.diff_id)
            raise made.failure
        return made.diff_id, made.size

    def _entry(self, command: Sequence[str], comment: str, diff_id: DiffID | None) -> dict[str, Any]:
        entry: dict[str, Any] = {"created": self._session.now()}
        if self._state.author:
            entry["author"] = self._state.author
        entry["created_by"] = texts.created_by(command)
        if comment:
            entry["comment"] = comment
        if diff_id is None:
            entry["empty_layer"] = True
        return entry

    # WORKDIR

    def _workdir(self, instruction: kinds.Workdir, name: str) -> None:
        state = self._state
        path = metadata.working_directory(state.config, instruction.path)
        state.config["WorkingDir"] = path
        comment = f"WORKDIR {path}"

        command = texts.comment_command(state.config, comment, single=True)
        work = MakeDirectory(path, state.config.get("User") or "") if state.modern else MakeDirectory(path)
        self._step(command, state.next_key("workdir", comment, work.user), lambda: work, name)

    # RUN

    def _run(self, instruction: kinds.Run, name: str) -> None:
        state, session = self._state, self._session
        if instruction.security == _INSECURE and _ENTITLEMENT not in session.request.allowed:
            raise InvalidArgument(f"{_ENTITLEMENT} is not allowed: build with --allow {_ENTITLEMENT}")
        words, script = self._command(instruction.command)
        environment = state.environment()
        visible = state.arguments.visible(environment)
        recorded = texts.run_command(words, visible)
        network = session.request.network if instruction.network == "default" else instruction.network
        reach = "host" if network == "default" else network  # with either a command finds the same
        with ExitStack() as stack:
            mounts = mounting.Mounts(session, self._place, stack, state)
            wanted = [mounts.parse(text, state.variables(), self._escape) for text in instruction.mounts]
            identity = [mounts.identity(mount) for mount in wanted]
            hosts = session.request.limits.get("ExtraHosts")
            key = state.next_key("run", recorded, reach, instruction.security, identity, script, hosts)

            def job() -> Job:
                ready = mounts.prepare(wanted, script)
                variables = {**state.arguments.environment(environment), **mounts.environment}
                insecure = instruction.security == _INSECURE
                return Job(words, state.config, variables, network, ready, session.request.limits, insecure)

            try:
                self._step(recorded, key, job, name)
            except CommandFailed as error:
                if session.request.keep_failed:
                    error.stage = FailedStage(state, mounts.ready, mounts.environment)
                    session.enter(stack.pop_all())
                raise

    def _command(self, command: kinds.CommandLine) -> tuple[list[str], tuple[str, str] | None]:
        """The words to run, and the script that they name, as file name and content."""
        words = metadata.command_words(self._state.config, command)
        if not command.heredocs:
            return words, None
        *shell, text = words
        first = command.heredocs[0]
        content = mounting.chomped(first)
        if not mounting.is_only_heredoc(text):
            parts = [text, *(f"{heredoc.content}{heredoc.name}" for heredoc in command.heredocs)]
            return [*shell, "\n".join(parts)], None
        if content.startswith("#!"):
            return [*shell, f"{mounting.SCRIPTS}/{first.name}"], (first.name, content)
        return [*shell, content], None

    # COPY and ADD

    def _copy(self, instruction: kinds.Copy | kinds.Add, name: str) -> None:
        state = self._state
        if not state.cached:
            self._look_ahead()
        copy = self._instruction(instruction)
        with ExitStack() as stack:
            early = self._ahead.claim(self._number) if self._ahead is not None else None
            if early is not None:
                resolved = stack.enter_context(early).resolved
            else:
                resolved = resolve(self._session, copy, self._place, stack)
            command = texts.comment_command(state.config, resolved.comment, single=True)
            key = state.next_key("copy", instruction.link, *resolved.facts)
            self._step(command, key, lambda: resolved.work, name, apart=resolved.apart, early=early)

    def _instruction(self, line: kinds.Copy | kinds.Add) -> Instruction:
        """With what it depends on."""
        state = self._state
        return Instruction(line, state.config.get("WorkingDir") or "", state.arguments.values())


class NotBuilt(NotFound):
    """A step has not been done, and is not to be."""


class UnsupportedInstruction(Unsupported):
    """Something of the language that this version can't do; ignoring it would be a surprise."""


def _refuse_unsupported(instruction: kinds.Instruction) -> None:
    """Raises :class:`UnsupportedInstruction`."""
    if isinstance(instruction, kinds.Run) and instruction.devices:
        devices = " ".join(f"--device={device}" for device in instruction.devices)
        raise UnsupportedInstruction(
            f"RUN {devices}: device feature is only supported in Dockerfile frontend 1.14.0-labs or later, and not here"
        )

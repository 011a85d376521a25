"""One stage's instructions, carried out one after the other."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress

from lamina.builder import metadata, mounting, permissions, sources, texts
from lamina.builder.cache import Step
from lamina.builder.distant import AnyLayer
from lamina.builder.job import CommandFailed, Job, StepMount
from lamina.builder.picking import of_place
from lamina.builder.progress import StepProgress
from lamina.builder.selection import Selection, common_digest, excluder, joined, of_copy, of_tree
from lamina.builder.session import Session
from lamina.builder.stage import Done, StageState, digest_of
from lamina.builder.tree import Excludes
from lamina.digest import DiffID, chain_id
from lamina.dockerfile import instructions as kinds
from lamina.dockerfile.expansion import expand, expanded
from lamina.dockerfile.failure import InvalidInstruction
from lamina.dockerfile.parser import parse_instruction
from lamina.errors import InvalidArgument, NotFound, Unsupported
from lamina.typing import Any, NamedTuple

#: DiffID of a tar without entries: 1024 zero bytes.
EMPTY = DiffID("sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef")


class MakeDirectory(NamedTuple):
    """``WORKDIR``.

    :ivar user: who gets the directories that are made.
    """

    path: str
    user: str = ""


class CopyFiles(NamedTuple):
    """``COPY`` and ``ADD``.

    :ivar selection: what is copied.
    :ivar target: absolute; a trailing slash means a directory.
    :ivar chown: the flag's text.
    :ivar keep_owner: whether files keep their owner when nothing else is said.
    :ivar mode: permissions of everything, or ``None``.
    """

    selection: Selection
    contents: tuple[kinds.InlineFile, ...]
    target: str
    chown: str
    keep_owner: bool
    mode: permissions.Permissions | None
    excludes: Excludes | None


#: What ``RUN --security`` may say beside ``sandbox``, and what must be allowed for it.
_INSECURE, _ENTITLEMENT = "insecure", "security.insecure"

#: What changes files.
Work = MakeDirectory | CopyFiles | Job

FindPlace = Callable[[str], sources.Place]


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
    """

    def __init__(self, session: Session, state: StageState, escape: str, place: FindPlace) -> None:
        self._session = session
        self._state = state
        self._escape = escape
        self._place = place
        self._location = kinds.Location("", 0, 0)

    def triggers(self) -> None:
        """Carry out the base image's ``ONBUILD`` instructions."""
        config = self._state.config
        pending = list(config.get("OnBuild") or ())
        config["OnBuild"] = None
        for number, text in enumerate(pending, 1):
            instruction = parse_instruction(text, escape=self._escape, name="ONBUILD")
            self.carry_out(instruction, Shown("onbuild", number, len(pending)))

    def carry_out(self, instruction: kinds.Instruction, shown: Shown) -> None:
        """One instruction."""
        state = self._state
        self._location = instruction.origin.location
        wanted = expanded(instruction, state.variables(), self._escape)
        if isinstance(wanted, kinds.Arg):
            wanted = self._with_defaults(wanted)
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

    # Steps

    def _step(
        self,
        command: Sequence[str],
        key: str,
        work: Work | None,
        name: str,
        *,
        comment: str = "",
        apart: str = "",
    ) -> None:
        """One entry of the history: from the cache, or made now.

        :param command: words of ``created_by``.
        :param work: what changes files; ``None`` when nothing does.
        :param name: how it is shown; ``""`` for not at all.
        :param apart: the key of a step whose layer would be the same on any others; ``""`` for others.
        """
        state, session = self._state, self._session
        state.container_config = {**state.config, "Cmd": list(command)}
        found = session.lookup.find(state, self._dated(key), texts.created_by(command))
        if found is not None:
            self._reached(found.step, found.layer)
            if work is not None and name:
                with session.step(name) as progress:
                    progress.cached = True
            return
        if session.request.only_cached:
            raise NotBuilt(f"{name or texts.created_by(command)}: not in the cache")
        state.cached = False
        diff_id, size = None, 0
        if work is not None:
            with session.step(name) as progress:
                moved = self._moved(apart, progress) if apart else None
                diff_id, size = moved or self._made(work, progress, apart=bool(apart))
        step = Step(self._dated(key), None, diff_id, self._entry(command, comment, diff_id), size)
        self._reached(step, state.layer)
        session.lookup.remember(state.layer, step)
        if apart and diff_id is not None:
            session.lookup.remember(state.layer, step._replace(key=self._dated(apart)))

    def _moved(self, apart: str, progress: StepProgress) -> tuple[DiffID, int] | None:
        """Put a layer that was made on others onto the state's; ``None`` when there is none."""
        state, session = self._state, self._session
        known = session.lookup.apart(self._dated(apart))
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

    def _dated(self, key: str) -> str:
        """The key with the time that all files and texts get, where there is one."""
        epoch = self._session.request.epoch
        return key if epoch is None else digest_of(key, "epoch", epoch)

    def _reached(self, step: Step, layer: AnyLayer | None) -> None:
        """The next instruction starts from here."""
        state = self._state
        state.key, state.layer = step.key, layer
        state.add_history(step.history, step.diff_id)
        state.trail.append(Done(step, layer, self._location))

    def _made(self, work: Work, progress: StepProgress, *, apart: bool) -> tuple[DiffID | None, int]:
        """Do the work in a new layer on the state's."""
        from lamina.builder import execution  # most steps are cached, and need nothing of what it needs

        state, session = self._state, self._session
        staged = session.stage_layer(state.layer)
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
        diff_id, size = (result.diff_id, result.size) if result.diff_id != EMPTY else (None, 0)
        if diff_id is None:
            session.drop(staged)
        else:
            state.layer = staged
        if failure is not None:
            state.add_history(self._entry(state.container_config["Cmd"], "", diff_id), diff_id)
            session.failed = state
            raise failure
        return diff_id, size

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
        self._step(command, state.next_key("workdir", comment, work.user), work, name)

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

            prepared: tuple[StepMount, ...] = ()
            if (wanted or script) and session.lookup.find(state, self._dated(key), texts.created_by(recorded)) is None:
                prepared = tuple(made for mount in wanted if (made := mounts.prepare(mount)) is not None)
                if script:
                    prepared += (mounts.script(*script),)
            variables = {**state.arguments.environment(environment), **mounts.environment}
            insecure = instruction.security == _INSECURE
            job = Job(words, state.config, variables, network, prepared, session.request.limits, insecure)
            self._step(recorded, key, job, name)

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
        keyword = "ADD" if isinstance(instruction, kinds.Add) else "COPY"
        stage = "" if isinstance(instruction, kinds.Add) else instruction.stage
        target = destination(state.config.get("WorkingDir") or "", instruction.destination)
        mode = permissions.parse(instruction.chmod)
        excludes = excluder(instruction.exclude)
        with ExitStack() as stack:
            selection = self._selected(instruction, target, stack)
            digest = common_digest(keyword, selection, instruction.contents, target)
            comment = texts.copied(keyword, instruction.chown, digest, instruction.destination)
            unpack = instruction.unpack if isinstance(instruction, kinds.Add) else False
            facts = (comment, stage, instruction.chmod, instruction.exclude, target, selection.facts, unpack)
            # Names of owners are looked up in the layers below, so with them it is a copy like any other.
            is_apart = instruction.link and set(instruction.chown) <= set("0123456789:")
            work = CopyFiles(selection, instruction.contents, target, instruction.chown, bool(stage), mode, excludes)
            command = texts.comment_command(state.config, comment, single=True)
            self._step(
                command,
                state.next_key("copy", instruction.link, *facts),
                work,
                name,
                apart=digest_of("apart", *facts) if is_apart else "",
            )

    def _selected(self, instruction: kinds.Copy | kinds.Add, target: str, stack: ExitStack) -> Selection:
        """What the sources mean; ``stack`` releases what they need."""
        if isinstance(instruction, kinds.Copy):
            if instruction.stage:
                return of_place(self._session.lookup, self._place(instruction.stage), instruction, stack)
            return of_copy(self._session.context(), instruction) if instruction.sources else joined(())
        return self._added(instruction, stack, target)

    def _added(self, instruction: kinds.Add, stack: ExitStack, target: str) -> Selection:
        def local(paths: Sequence[str]) -> Selection:
            excludes = excluder(instruction.exclude)
            return of_tree(self._session.context(), paths, unpack=instruction.unpack is not False, excludes=excludes)

        if not instruction.checksum and not any(":" in source for source in instruction.sources):
            return local(instruction.sources) if instruction.sources else joined(())
        from lamina.builder import additions  # with all that http needs

        arguments = self._state.arguments.values()
        remote = additions.Additions(self._session, instruction, target, arguments, stack)
        remote.check_checksum()
        return joined(remote.selection(source) or local([source]) for source in instruction.sources)


def destination(working_directory: str, text: str) -> str:
    """An absolute destination, ``..`` taken as text; a trailing slash stays, since it means a directory."""
    joined = posixpath.normpath(posixpath.join("/", working_directory, text))
    joined = "/" + joined.lstrip("/")
    return joined.rstrip("/") + "/" if text.endswith(("/", "/.")) or text == "." else joined


class NotBuilt(NotFound):
    """A step has not been done, and is not to be."""


class UnsupportedInstruction(Unsupported):
    """Something of the language that this version can't do; ignoring it would be a surprise."""


def _refuse_unsupported(instruction: kinds.Instruction) -> None:
    """Raises :class:`UnsupportedInstruction`."""
    if isinstance(instruction, kinds.Run) and instruction.devices:
        raise UnsupportedInstruction("RUN --device is not supported by this version")

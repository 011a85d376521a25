"""A whole build: from a Dockerfile to an image with its names.

Only the stages that the target needs are built, when something asks for them. A step that fails leaves the layers of
the steps before it in the cache, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable

from lamina.builder import sources
from lamina.builder.graph import CircularDependency, StageGraph
from lamina.builder.job import CommandFailed
from lamina.builder.namedcontexts import NamedContexts, targets
from lamina.builder.progress import Steps
from lamina.builder.request import BuildRequest, BuildResult, Fetch
from lamina.builder.schedule import Schedule
from lamina.builder.session import Session
from lamina.builder.squashing import squash
from lamina.builder.stage import StageState, inline_keys
from lamina.builder.steps import Shown, StageBuilder
from lamina.configuration import Configuration
from lamina.contextlib import ExitStack, suppress
from lamina.dataroot import DataRoot
from lamina.dockerfile import instructions as kinds
from lamina.dockerfile.expansion import expand
from lamina.dockerfile.parser import parse
from lamina.errors import InvalidArgument, LaminaError, NotFound
from lamina.image.contract import Image
from lamina.image.store import FileImageStore
from lamina.layer.store import FileLayerStore
from lamina.oci import dockerconfig, gojson
from lamina.oci import platform as platforms
from lamina.typing import TYPE_CHECKING, Any
from lamina.version import MAKER

if TYPE_CHECKING:
    from lamina.builder.ahead import Ahead
    from lamina.builder.wasting import Waste
    from lamina.network.service import Networks
    from lamina.registry.client import RegistryClient
    from lamina.registry.settings import Settings


class UnknownStage(InvalidArgument):
    """``--target`` or ``--from`` names no stage."""


def build(
    root: DataRoot,
    layers: FileLayerStore,
    images: FileImageStore,
    request: BuildRequest,
    *,
    fetch: Fetch | None = None,
    steps: Steps | None = None,
    settings: Callable[[], Settings] | None = None,
    client: Callable[[], RegistryClient] | None = None,
    networks: Callable[[], Networks] | None = None,
    configuration: Configuration | None = None,
    failed: Callable[[CommandFailed], None] | None = None,
) -> BuildResult:
    """Build, and give the image its names.

    :param fetch: finds base images that are not here; ``None`` never does.
    :param client: reaches registries, for caches; ``None`` never does.
    :param settings: says how to reach servers, for ``ADD``; ``None`` never does.
    :param failed: called when a command failed and the request keeps its stage, while what the command had mounted is
        there.
    :param networks: the root's, for the default network of ``RUN``; with ``None`` that is the host's.
    :param configuration: daemon.json, for the containers of ``RUN``; with ``None`` it says nothing.
    :raises DockerfileError: the Dockerfile can't be parsed; nothing has been done then.
    :raises CommandFailed: a ``RUN`` failed. Other errors are those of the instructions.
    """
    root.require_writable()
    dockerfile = parse(request.dockerfile, name=request.dockerfile_name)
    steps = steps or Steps()
    failure = None
    with Session(
        root,
        layers,
        images,
        request,
        steps,
        settings=settings,
        client=client,
        networks=networks,
        configuration=configuration,
    ) as session:
        try:
            image, stage = _built(session, dockerfile, fetch, client)
            waste = waste_of(session, stage) if request.advise else ()
        except CommandFailed as error:
            if error.stage is None:
                raise
            failure = error  # raised later: what is made while an error passes is taken back
            with suppress(LaminaError, OSError):
                error.kept = _kept(error.stage.state, images, session.now)
        if failure is not None and failed is not None:
            failed(failure)
        warnings = _warnings(session, dockerfile)
    if failure is not None:
        raise failure
    for line in warnings:
        steps.warn(line)
    return BuildResult(image.id, image, warnings, waste, session.cached)


def seen_waste(
    root: DataRoot, layers: FileLayerStore, images: FileImageStore, request: BuildRequest
) -> tuple[Waste, ...]:
    """What wastes space in what ``request`` would build, if all of it has been built before; nothing is done.

    :raises NotBuilt: it has not. Other errors are those of :func:`build`.
    """
    root.require_writable()
    dockerfile = parse(request.dockerfile, name=request.dockerfile_name)
    with Session(root, layers, images, request._replace(only_cached=True), Steps()) as session:
        return waste_of(session, _Build(session, dockerfile, None).target())


def waste_of(session: Session, stage: StageState) -> tuple[Waste, ...]:
    """What wastes space in a stage whose layers exist."""
    from lamina.builder.wasting import Made, find_waste

    if session.request.squash:
        return ()
    made = [Made(done.layer.chain_id, done.location) for done in stage.trail if done.step.diff_id and done.layer]
    base = stage.base.config.chain_id if stage.base is not None else None
    return tuple(find_waste(session.root, session.layers, base, made))


def _built(
    session: Session,
    dockerfile: kinds.Dockerfile,
    fetch: Fetch | None,
    client: Callable[[], RegistryClient] | None,
) -> tuple[Image, StageState]:
    work = _Build(session, dockerfile, fetch)
    try:
        stage = work.target()
        session.lookup.near(stage.layer)
        if session.request.squash:
            squash(session, stage)
        session.cached = stage.cached
    except BaseException:
        with suppress(LaminaError, OSError):  # what is raised says more
            session.publish()
        raise
    session.publish()
    image = _image(session, session.images, stage)
    if session.request.cache_to:
        from lamina.builder import cacheexport
        from lamina.distribution.stores import Stores

        result = cacheexport.Result(stage, work.stages, session.lookup.picks)
        stores = Stores(session.root, session.layers, session.images)
        cacheexport.export(session.request.cache_to, result, stores, client, session.steps)
    return image, stage


class _Build:
    """The stages of one Dockerfile, each built once."""

    def __init__(self, session: Session, dockerfile: kinds.Dockerfile, fetch: Fetch | None) -> None:
        self._session = session
        self._dockerfile = dockerfile
        self._images = sources.Images(session, fetch)
        for line in dockerfile.arguments:
            for argument in line.arguments:
                default = argument.default
                if default is not None:
                    default = expand(default, session.arguments.globals, dockerfile.escape)
                session.arguments.declare_global(argument.name, default)
        self._contexts = NamedContexts(session, self._images)
        self._order: list[kinds.Stage] = []
        aliases = targets(session.request.contexts)
        self._graph = StageGraph(dockerfile, session.arguments.globals, self._contexts.replaced, aliases)
        self._schedule: Schedule[StageState] = Schedule(
            lambda number: self._build(dockerfile.stages[number]),
            lambda number: CircularDependency(dockerfile.stages[number]),
            session.cancel,
        )

    def target(self) -> StageState:
        """Build the wanted stage and add the labels of the command line."""
        wanted = self._session.request.target
        stage = self._graph.wanted(wanted)
        if stage is None:
            raise UnknownStage(f'target stage "{wanted}" could not be found')
        order = self._order = self._graph.order(stage)
        threads = not self._graph.is_chain(order)
        if threads:
            self._prepare()
        state = self._schedule.run([one.number for one in order], threads=threads)
        for name, value in sorted(self._session.request.labels.items()):
            self._builder(state, stage).label(name, value)
        if state.base is not None and _unchanged(state):
            self._images.bring(state.base)  # it is the result
        return state

    @property
    def stages(self) -> list[StageState]:
        """Those that were built."""
        return self._schedule.results

    def _prepare(self) -> None:
        """Fork what starts commands before there are threads, if there may be commands."""
        if any(self._may_run(stage) for stage in self._order):
            with suppress(LaminaError):  # who needs it is told why it can't be had
                self._session.prepare()

    def _may_run(self, stage: kinds.Stage) -> bool:
        """Whether a stage has commands, as triggers of its base image too; of one that is not here nobody knows."""
        for line in stage.instructions:
            if isinstance(line, kinds.Run) or (isinstance(line, kinds.OnBuild) and _is_command(line.expression)):
                return True
        base = self._base_name(stage)
        if self._graph.base(stage) is not None or base in ("", sources.SCRATCH):
            return False
        image = self._images.here(base) if base.lower() not in self._contexts.replaced else None
        return image is None or any(map(_is_command, image.config.config.get("OnBuild") or ()))

    def _base_name(self, stage: kinds.Stage) -> str:
        return expand(stage.source.base, self._session.arguments.globals, self._dockerfile.escape)

    def _builder(self, state: StageState, stage: kinds.Stage, ahead: Callable[[], Ahead] | None = None) -> StageBuilder:
        escape = self._dockerfile.escape
        return StageBuilder(self._session, state, escape, lambda name: self._place(name, stage), ahead)

    def _ahead(self, stage: kinds.Stage) -> Ahead:
        from lamina.builder.ahead import Ahead  # most steps are cached

        return Ahead(self._session, lambda name: self._is_ready(name, stage), self._prepare)

    def _is_ready(self, name: str, inside: kinds.Stage) -> bool:
        """Whether what ``--from=NAME`` means in a stage, ``""`` the context, is no stage that is still to be built."""
        stage = self._graph.source(name, inside) if name else None
        return stage is None or self._schedule.is_done(stage.number)

    def _build(self, stage: kinds.Stage) -> StageState:
        state = StageState(self._session.arguments, self._session.platform, modern=bool(self._dockerfile.syntax))
        total = len(stage.instructions) + 1
        name = stage.name or (f"stage-{stage.number}" if len(self._dockerfile.stages) > 1 else "")
        lines = [(line, Shown(name, number, total)) for number, line in enumerate(stage.instructions, 2)]
        with ExitStack() as stack:
            ahead = (lambda: stack.enter_context(self._ahead(stage))) if self._session.transaction.moves else None
            builder = self._builder(state, stage, ahead)
            self._begin(state, stage, Shown(name, 1, total), builder)
            builder.triggers()
            builder.expect(lines)
            for instruction, shown in lines:
                try:
                    builder.carry_out(instruction, shown)
                except LaminaError as error:
                    _locate(error, instruction.origin)
                    raise
        return state

    def _begin(self, state: StageState, stage: kinds.Stage, shown: Shown, builder: StageBuilder) -> None:
        session, escape = self._session, self._dockerfile.escape
        base = self._base_name(stage)
        if not base:
            raise InvalidArgument(f"base name ({stage.source.base}) should not be blank")
        platform = sources.parsed_platform(expand(stage.source.platform, session.arguments.globals, escape))
        if platform is not None:
            state.platform = platform
        below = self._graph.base(stage)
        if below is not None:
            state.begin_stage(self._schedule.get(below.number))
            return
        if base == sources.SCRATCH:
            state.begin_empty()
            return
        context = self._contexts.get(base)
        if context is not None and context.image is None:
            state.begin_empty()
            builder.copy_all(base, shown)
            return
        with session.step(shown.of(f"FROM {base}")):
            image = self._images.get(base, platform) if context is None else context.image
            assert image is not None
        state.begin(image, self._images.layer(image, base))

    def _place(self, name: str, inside: kinds.Stage) -> sources.Place:
        """What ``--from=NAME`` means in a stage."""
        stage = self._graph.source(name, inside)
        if stage is not None:
            return sources.of_layer(self._session, self._schedule.get(stage.number).layer, name)
        context = self._contexts.get(name)
        if context is not None and context.image is not None:
            return self._in_image(context.image, name)
        if context is not None:
            return sources.of_directory(self._session, context.directory, name)
        if name.isascii() and name.isdigit():
            reason = "refers to current build stage" if int(name[:6]) == inside.number else "index out of bounds"
            raise UnknownStage(f"invalid from flag value {name}: {reason}")
        if inside.name == name.lower():
            raise UnknownStage(f"invalid from flag value {name}: refers to current build stage")
        try:
            return self._in_image(self._images.get(name), name)
        except NotFound as error:
            raise NotFound(f"invalid from flag value {name}: {error}") from error

    def _in_image(self, image: Image, name: str) -> sources.Place:
        return sources.of_layer(self._session, self._images.layer(image, name), name)


def _is_command(instruction: str) -> bool:
    return instruction.lower().split(None, 1)[:1] == ["run"]


def _kept(stage: StageState, images: FileImageStore, now: Any) -> str:
    """The ID of an image to look into: a stage with the variables that its command had."""
    environment = stage.environment()
    arguments = [f"{name}={value}" for name, value in stage.arguments.environment(environment).items()]
    stage.config["Env"] = [*(stage.config.get("Env") or ()), *arguments]
    return images.create(configuration(stage, now)).id


def _locate(error: LaminaError, origin: kinds.Origin) -> None:
    """Say where it was, once."""
    if getattr(error, "location", None) is None:
        error.__dict__["location"] = origin.location
        error.add_note(f"{origin.location.name}:{origin.location.line}: {origin.text}")


def _warnings(session: Session, dockerfile: kinds.Dockerfile) -> tuple[str, ...]:
    found = [f"{warning.message} (line {warning.location.line})" for warning in dockerfile.warnings]
    unused = session.arguments.unused()
    if unused:
        found.append(f"[Warning] One or more build-args [{' '.join(unused)}] were not consumed")
    return tuple(found)


def _image(session: Session, images: FileImageStore, stage: StageState) -> Image:
    """Write the configuration and the names.

    Docker's classic builder leaves an image behind at every step, each the parent of the next, and ``history`` names
    them line by line. There are none here, so nothing is said to be the image's parent.
    """
    with images.lock():
        if stage.base is not None and not session.request.labels and _unchanged(stage):
            image = stage.base
        else:
            image = images.create(configuration(stage, session.now, inline=_is_inline(session.request)))
        for reference in session.request.tags:
            images.tag(image.id, reference)
    return image


def _unchanged(stage: StageState) -> bool:
    """Whether the stage is nothing but its base image."""
    assert stage.base is not None
    return len(stage.history) == len(stage.base.config.document.get("history") or ())


def _is_inline(request: BuildRequest) -> bool:
    return any(wanted.kind == "inline" for wanted in request.cache_to)


def configuration(stage: StageState, now: Any, *, inline: bool = False) -> bytes:
    """The image's configuration as Docker writes it, members in order of their names.

    :param inline: name the keys of the steps, so that the image is a cache.
    """
    document: dict[str, Any] = {
        "architecture": stage.platform.architecture,
        "author": stage.author,
        "config": dockerconfig.complete({**stage.config, "Image": str(stage.base_id or "")}),
        "container_config": dockerconfig.complete(stage.container_config) if stage.container_config else None,
        "created": stage.created or now(),
        "docker_version": MAKER,
        "history": stage.history,
        "os": stage.platform.os or platforms.host().os,
        "rootfs": {"type": "layers", "diff_ids": [str(one) for one in stage.diff_ids]},
        "variant": stage.platform.variant,
    }
    if inline:
        from lamina.builder.cachedocument import INLINE

        document[INLINE] = {"keys": inline_keys(stage)}
    return gojson.encode({key: value for key, value in document.items() if value not in ("", None)})

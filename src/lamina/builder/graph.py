"""Which stages need which: from the text of a Dockerfile alone."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from itertools import pairwise
from types import MappingProxyType

from lamina.dockerfile.expansion import expand
from lamina.dockerfile.failure import InvalidInstruction
from lamina.dockerfile.instructions import Copy, Dockerfile, Run, Stage
from lamina.dockerfile.mount import parse_mount
from lamina.errors import InvalidArgument


class CircularDependency(InvalidArgument):
    """Stages need one another; the message is BuildKit's."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(f"circular dependency detected on stage: {stage.name or stage.number}")


class StageGraph:
    """The stages of one Dockerfile.

    :param variables: what ``FROM`` lines may use.
    :param replaced: names that mean something else than a stage: those of ``--build-context``.
    :param aliases: other names for stages.
    """

    def __init__(
        self,
        dockerfile: Dockerfile,
        variables: Mapping[str, str],
        replaced: Collection[str] = (),
        aliases: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._aliases = aliases
        self.stages: tuple[Stage, ...] = dockerfile.stages
        self._variables = variables
        self._escape = dockerfile.escape
        self._replaced = replaced

    def wanted(self, name: str) -> Stage | None:
        """The stage of ``--target``: the last one for an empty name."""
        return self._named(name, len(self.stages)) if name else self.stages[-1]

    def base(self, stage: Stage) -> Stage | None:
        """The earlier stage that ``FROM`` names; ``None`` for anything else. A number is the name of an image."""
        base = expand(stage.source.base, self._variables, self._escape)
        base = self._aliases.get(base.lower(), base)
        if base.isdigit() or base.lower() in self._replaced:
            return None
        return self._named(base, stage.number)

    def source(self, name: str, stage: Stage) -> Stage | None:
        """The stage that ``--from=NAME`` means in ``stage``: the last one before it, or else the first one after it."""
        if name.lower() in self._replaced:
            return None
        name = self._aliases.get(name.lower(), name)
        earlier = self._named(name, stage.number)
        if earlier is not None:
            return earlier
        later = self.stages[stage.number + 1 :]
        return next((one for one in later if one.name and one.name == name.lower()), None)

    def _named(self, name: str, before: int) -> Stage | None:
        """The last stage before number ``before`` that has the name or the number."""
        for stage in self.stages[:before][::-1]:
            if stage.name and stage.name == name.lower():
                return stage
        if name.isascii() and name.isdigit() and len(name) < 6 and int(name) < before:
            return self.stages[int(name)]
        return None

    def needs(self, stage: Stage) -> list[Stage]:
        """The other stages that it needs itself, each once; as far as that can be told before the build."""
        base = self.base(stage)
        found = {base.number: base} if base is not None else {}
        for name in _sources(stage):
            other = self.source(name, stage)
            if other is not None and other is not stage:
                found[other.number] = other
        return list(found.values())

    def order(self, target: Stage) -> list[Stage]:
        """All that ``target`` needs, each after what it needs itself, ``target`` last.

        :raises CircularDependency: there is no such order.
        """
        done: dict[int, Stage] = {}
        open_: dict[int, tuple[Stage, Iterator[Stage]]] = {target.number: (target, iter(self.needs(target)))}
        while open_:
            stage, pending = next(reversed(open_.values()))
            other = next(pending, None)
            if other is None:
                done[stage.number] = stage
                del open_[stage.number]
            elif other.number in open_:
                raise CircularDependency(other)
            elif other.number not in done:
                open_[other.number] = other, iter(self.needs(other))
        return list(done.values())

    def is_chain(self, order: list[Stage]) -> bool:
        """Whether each stage of :meth:`order` needs the one before it: nothing can be done at the same time then."""
        return all(any(one is below for one in self.needs(above)) for below, above in pairwise(order))


def _sources(stage: Stage) -> Iterator[str]:
    """Values of ``--from`` of ``COPY`` and of mounts."""
    for instruction in stage.instructions:
        if isinstance(instruction, Copy) and instruction.stage:
            yield instruction.stage
        elif isinstance(instruction, Run):
            for text in instruction.mounts:
                if "from" in text:
                    try:
                        yield parse_mount(text, lambda word: word).stage
                    except InvalidInstruction:
                        continue  # the build says so

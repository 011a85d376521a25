"""``build --check``: what Docker's linter says of a Dockerfile, from its text and what the caller knows of images."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterable, Mapping

from lamina.dockerfile.expansion import Expander
from lamina.dockerfile.failure import InvalidInstruction, quoted
from lamina.dockerfile.ignore import PatternMatcher
from lamina.dockerfile.instructions import (
    Add,
    Arg,
    Cmd,
    Copy,
    Dockerfile,
    Entrypoint,
    Env,
    Expose,
    From,
    Healthcheck,
    Instruction,
    Label,
    Maintainer,
    Run,
    Shell,
    Stage,
    Workdir,
)
from lamina.dockerfile.lexer import Lexer
from lamina.dockerfile.mount import parse_mount
from lamina.dockerfile.rules import Finding, Options, parse_options
from lamina.dockerfile.suggestion import nearest
from lamina.errors import InvalidArgument
from lamina.oci import platform as platforms
from lamina.oci.platform import Platform
from lamina.reference import parse as parse_reference
from lamina.typing import NamedTuple

_PREDEFINED = tuple(
    prefix + name for prefix in ("BUILD", "TARGET") for name in ("PLATFORM", "OS", "OSVERSION", "ARCH", "VARIANT")
)
_RESERVED = ("context", "scratch")
_SECRET = re.compile(
    "(?:_|^)(?:apikey|auth|credential|credentials|key|password|pword|passwd|secret|token)(?:_|$)", re.IGNORECASE
)
_NO_SECRET = re.compile("(?:_|^)(?:public|file|version)(?:_|$)", re.IGNORECASE)
_REMOTE = re.compile(r"(?:https?|git|ssh)://|git@")


class Surroundings(NamedTuple):
    """What a check knows besides the text.

    :param arguments: values of ``--build-arg``.
    :param predefined: the arguments that every ``FROM`` can use, such as ``TARGETPLATFORM``.
    :param target: ``--target``.
    :param ignored: the context's ``.dockerignore``, or ``None`` without one.
    :param environment: the variables of a base image by its name, ``None`` for an image that is not at hand: then
        nothing can be said about variables in what is built on it.
    :param platform: what a base image is for, by its name, ``None`` for an image that is not at hand.
    """

    arguments: Mapping[str, str] = {}
    predefined: Mapping[str, str] = {}
    target: str = ""
    ignored: PatternMatcher | None = None
    environment: Callable[[str], Mapping[str, str] | None] = lambda name: {} if name == "scratch" else None
    platform: Callable[[str], Platform | None] = lambda name: None


def check(
    dockerfile: Dockerfile, surroundings: Surroundings | None = None, options: Options | None = None
) -> list[Finding]:
    """The findings, in the order of their lines.

    ``options`` default to the file's ``check`` directive. Raises
    :class:`~lamina.dockerfile.failure.InvalidInstruction` for a malformed directive.
    """
    options = parse_options(dockerfile.check) if options is None else options
    checking = _Checking(dockerfile, surroundings or Surroundings(), options)
    checking.run()
    return sorted(checking.findings, key=lambda finding: finding.location.line)


def base_platform_finding(source: From, image: str, actual: Platform, expected: Platform) -> Finding | None:
    """``InvalidBaseImagePlatform``, which only shows once the image is there."""
    if (actual.os, actual.architecture) == (expected.os, expected.architecture):
        return None
    message = f'Base image {image} was pulled with platform "{actual}", expected "{expected}" for current build'
    return Finding("InvalidBaseImagePlatform", message, source.origin.location)


class _StageState:
    """What is known at a point of a stage; a stage built on it begins with a copy.

    ``environment`` is ``None`` where the base image is unknown.
    """

    def __init__(self, environment: Mapping[str, str] | None) -> None:
        self.environment = None if environment is None else dict(environment)
        self.declared: set[str] = set()
        self.workdir = False
        self.shell = False

    def copy(self) -> _StageState:
        copied = _StageState(self.environment)
        copied.declared |= self.declared
        copied.workdir, copied.shell = self.workdir, self.shell
        return copied


class _Checking:
    def __init__(self, dockerfile: Dockerfile, surroundings: Surroundings, options: Options) -> None:
        self._dockerfile = dockerfile
        self._surroundings = surroundings
        self._options = options
        target = surroundings.target or dockerfile.stages[-1].name
        predefined = {**dict.fromkeys(_PREDEFINED, ""), **surroundings.predefined}
        self._predefined = {**predefined, "TARGETSTAGE": target or "default"}
        self._states: dict[str, _StageState] = {}
        self.findings: list[Finding] = []

    def _find(self, rule: str, message: str, instruction: From | Instruction) -> None:
        origin = instruction.origin
        if self._options.with_comments(origin.comments).wants(rule):
            self.findings.append(Finding(rule, message, origin.location))

    def run(self) -> None:
        if self._options.wants("NoEmptyContinuation"):
            for notice in self._dockerfile.warnings:
                self.findings.append(Finding("NoEmptyContinuation", "Empty continuation line", notice.location))
        for arg in self._dockerfile.arguments:
            self._definition("ARG", [argument.name for argument in arg.arguments], arg)
        self._stage_names()
        self._casing()
        self._default_bases()
        arguments = self._global_arguments(self._surroundings.arguments)
        for stage in self._dockerfile.stages:
            self._from(stage.source, arguments)
            state = self._begin(stage, arguments)
            self._instructions(stage, state, arguments)
            self._states[str(stage.number)] = self._states[stage.name or str(stage.number)] = state

    # the whole file

    def _stage_names(self) -> None:
        seen: set[str] = set()
        for stage in self._dockerfile.stages:
            if not stage.name:
                continue
            *_, keyword, written = stage.source.origin.text.split()
            start = stage.source.origin.keyword
            if written != written.lower():
                self._find("StageNameCasing", f"Stage name '{written}' should be lowercase", stage.source)
            if keyword != (keyword.lower() if start.islower() else keyword.upper()) and _is_consistent(start):
                self._find("FromAsCasing", f"'{keyword}' and '{start}' keywords' casing do not match", stage.source)
            if stage.name in _RESERVED:
                message = f"Stage name should not use the same name as reserved stage {quoted(stage.name)}"
                self._find("ReservedStageName", message, stage.source)
            if stage.name in seen:
                message = f"Duplicate stage name {quoted(stage.name)}, stage names should be unique"
                self._find("DuplicateStageName", message, stage.source)
            seen.add(stage.name)
            self._definition("FROM", [stage.name], stage.source)

    def _definition(self, keyword: str, names: list[str], instruction: From | Arg) -> None:
        """The comment right above is to begin with what it describes."""
        comments = instruction.origin.comments
        if comments and comments[-1].split(" ")[0] not in names:
            example = names[0] if len(names) == 1 else "<arg_key>"
            message = f"Comment for {keyword} should follow the format: `# {example} <description>`"
            self._find("InvalidDefinitionDescription", message, instruction)

    def _casing(self) -> None:
        found: list[From | Instruction] = [
            instruction for stage in self._dockerfile.stages for instruction in (stage.source, *stage.instructions)
        ]
        consistent = [one.origin.keyword for one in found if _is_consistent(one.origin.keyword)]
        lower = 2 * sum(keyword.islower() for keyword in consistent) > len(consistent)
        casing = "lowercase" if lower else "uppercase"
        for one in found:
            keyword = one.origin.keyword
            if keyword != (keyword.lower() if lower else keyword.upper()):
                message = f"Command '{keyword}' should match the case of the command majority ({casing})"
                self._find("ConsistentInstructionCasing", message, one)

    def _global_arguments(self, given: Mapping[str, str]) -> dict[str, str]:
        """The values of predefined and global arguments, as far as they can be expanded."""
        values = {name: given.get(name, value) for name, value in self._predefined.items()}
        for arg in self._dockerfile.arguments:
            for argument in arg.arguments:
                default = argument.default
                if argument.name in given:
                    values[argument.name] = given[argument.name]
                elif default is not None:
                    values[argument.name] = _expanded(default, values, self._dockerfile.escape)
        return values

    def _default_bases(self) -> None:
        values = self._global_arguments({})
        for stage in self._dockerfile.stages:
            base = stage.source.base
            try:
                parse_reference(_expanded(base, values, self._dockerfile.escape))
            except InvalidArgument:
                message = f"Default value for ARG {base} results in empty or invalid base image name"
                self._find("InvalidDefaultArgInFrom", message, stage.source)

    # FROM

    def _from(self, source: From, arguments: Mapping[str, str]) -> None:
        known = {*arguments, *(argument.name for arg in self._dockerfile.arguments for argument in arg.arguments)}
        for text in (source.base, source.platform):
            for name in _unmatched(text, arguments, self._dockerfile.escape):
                if name not in known:
                    message = f"FROM argument '{name}' is not declared{_hint(name, known)}"
                    self._find("UndefinedArgInFrom", message, source)
        if source.platform:
            self._platform(source, arguments)

    def _platform(self, source: From, arguments: Mapping[str, str]) -> None:
        try:
            expansion = Lexer(self._dockerfile.escape).process(source.platform, arguments)
        except InvalidInstruction:
            return
        only_target = expansion.matched == {"TARGETPLATFORM"} and not expansion.unmatched
        if only_target and expansion.text == arguments["TARGETPLATFORM"]:
            message = (
                f"Setting platform to predefined {source.platform} in FROM is redundant as this is the default behavior"
            )
            self._find("RedundantTargetPlatform", message, source)
        if expansion.matched or expansion.unmatched:
            return
        try:
            platform = platforms.from_text(expansion.text)
        except InvalidArgument:
            return
        if platform.os not in source.stage and platform.architecture not in source.stage:
            message = f"FROM --platform flag should not use constant value {quoted(expansion.text)}"
            self._find("FromPlatformFlagConstDisallowed", message, source)

    # instructions

    def _begin(self, stage: Stage, arguments: Mapping[str, str]) -> _StageState:
        base = _expanded(stage.source.base, arguments, self._dockerfile.escape)
        parent = self._states.get(base.lower())
        if parent:
            return parent.copy()
        self._base_platform(stage.source, base, arguments)
        return _StageState(self._surroundings.environment(base))

    def _base_platform(self, source: From, image: str, arguments: Mapping[str, str]) -> None:
        actual = self._surroundings.platform(image)
        text = _expanded(source.platform, arguments, self._dockerfile.escape) or arguments["TARGETPLATFORM"]
        if actual is None or not text:
            return
        try:
            finding = base_platform_finding(source, image, actual, platforms.from_text(text))
        except InvalidArgument:
            return  # the build says so
        if finding is not None and self._options.with_comments(source.origin.comments).wants(finding.rule):
            self.findings.append(finding)

    def _instructions(self, stage: Stage, state: _StageState, arguments: Mapping[str, str]) -> None:
        once: dict[type, Instruction] = {}
        for instruction in stage.instructions:
            if isinstance(instruction, Arg):
                self._arg(instruction, state, arguments)
                continue
            expander = Expander(state.environment or {}, self._dockerfile.escape)
            try:
                found = expander.instruction(instruction)
                for mount in found.mounts if isinstance(found, Run) else ():
                    parse_mount(mount, expander.word)
            except InvalidInstruction:
                # The build stops here with a message of its own.
                continue
            self._undefined(expander.unmatched, state, instruction)
            self._one(found, state)
            if isinstance(found, (Cmd, Entrypoint, Healthcheck)):
                if earlier := once.get(type(found)):
                    message = (
                        f"Multiple {found.origin.keyword} instructions should not be used in the same stage "
                        "because only the last one will be used"
                    )
                    self._find("MultipleInstructionsDisallowed", message, earlier)
                once[type(found)] = found

    def _undefined(self, names: Iterable[str], state: _StageState, instruction: Instruction) -> None:
        for name in names:
            if state.environment is not None and name not in state.declared:
                message = f"Usage of undefined variable '${name}'{_hint(name, state.environment, '$')}"
                self._find("UndefinedVar", message, instruction)

    def _arg(self, arg: Arg, state: _StageState, arguments: Mapping[str, str]) -> None:
        self._definition("ARG", [argument.name for argument in arg.arguments], arg)
        for argument in arg.arguments:
            self._secret("ARG", argument.name, arg)
            value = self._surroundings.arguments.get(argument.name)
            if value is None and argument.default is None:
                value = arguments.get(argument.name)
            elif value is None and argument.default is not None:
                expander = Expander(state.environment or {}, self._dockerfile.escape)
                try:
                    value = expander.word(argument.default)
                except InvalidInstruction:
                    value = ""
                self._undefined(expander.unmatched, state, arg)
            state.declared.add(argument.name)
            if value is not None and state.environment is not None:
                state.environment[argument.name] = value

    def _secret(self, keyword: str, name: str, instruction: Instruction) -> None:
        if _SECRET.search(name) and not _NO_SECRET.search(name):
            message = f"Do not use ARG or ENV instructions for sensitive data ({keyword} {quoted(name)})"
            self._find("SecretsUsedInArgOrEnv", message, instruction)

    def _one(self, found: Instruction, state: _StageState) -> None:
        if isinstance(found, (Env, Label)):
            self._pairs(found, state)
        elif isinstance(found, Maintainer):
            message = "Maintainer instruction is deprecated in favor of using label"
            self._find("MaintainerDeprecated", message, found)
        elif isinstance(found, Workdir):
            if not state.workdir and not found.path.startswith("/"):
                message = f"Relative workdir {quoted(found.path)} can have unexpected results if the base image changes"
                self._find("WorkdirRelativePath", message, found)
            state.workdir = True
        elif isinstance(found, Shell):
            state.shell = True
        elif isinstance(found, (Cmd, Entrypoint)):
            if found.command.shell and not state.shell:
                message = (
                    f"JSON arguments recommended for {found.origin.keyword} "
                    "to prevent unintended behavior related to OS signals"
                )
                self._find("JSONArgsRecommended", message, found)
        elif isinstance(found, Expose):
            self._ports(found)
        elif isinstance(found, (Copy, Add)):
            self._copied(found)

    def _pairs(self, found: Env | Label, state: _StageState) -> None:
        keyword = found.origin.keyword
        for pair in found.pairs:
            if pair.legacy:
                message = f'"{keyword} key=value" should be used instead of legacy "{keyword} key value" format'
                self._find("LegacyKeyValueFormat", message, found)
            if isinstance(found, Env):
                self._secret("ENV", pair.name, found)
                if state.environment is not None:
                    state.environment[pair.name] = pair.value

    def _ports(self, found: Expose) -> None:
        for port in found.ports:
            container, _, protocol = port.rpartition(":")[2].partition("/")
            if protocol != protocol.lower():
                message = f"Defined protocol '{port}' in EXPOSE instruction should be lowercase"
                self._find("ExposeProtoCasing", message, found)
            if container and port.rpartition(":")[0].strip(":"):
                message = f"EXPOSE instruction should not define an IP address or host-port mapping, found '{port}'"
                self._find("ExposeInvalidFormat", message, found)

    def _copied(self, found: Copy | Add) -> None:
        ignored = self._surroundings.ignored
        if ignored is None or ignored.has_exceptions or (isinstance(found, Copy) and found.stage):
            return
        verb = "Add" if isinstance(found, Add) else "Copy"
        for source in found.sources:
            if isinstance(found, Add) and _REMOTE.match(source):
                continue
            path = posixpath.normpath(source).lstrip("/") or "/"
            if ignored.excludes_everything if path in (".", "/") else ignored.matches(path):
                message = f"Attempting to {verb} file {quoted(path)} that is excluded by .dockerignore"
                self._find("CopyIgnoredFile", message, found)


def _is_consistent(keyword: str) -> bool:
    return keyword in (keyword.lower(), keyword.upper())


def _expanded(text: str, values: Mapping[str, str], escape: str) -> str:
    """``text`` expanded; as it is where that cannot be: the build says so."""
    try:
        return Lexer(escape).process(text, values).text
    except InvalidInstruction:
        return text


def _unmatched(text: str, values: Mapping[str, str], escape: str) -> list[str]:
    try:
        return sorted(Lexer(escape).process(text, values).unmatched)
    except InvalidInstruction:
        return []


def _hint(name: str, names: Iterable[str], prefix: str = "") -> str:
    near = nearest(name, names)
    return f" (did you mean {prefix}{near}?)" if near else ""

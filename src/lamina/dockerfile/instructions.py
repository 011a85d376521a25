"""The instructions of a Dockerfile as values.

Text is as written, variables not yet replaced: :func:`lamina.dockerfile.expansion.expanded` does that. Names and
defaults follow Docker's "Dockerfile reference".
"""

from __future__ import annotations

from lamina.typing import Any, NamedTuple, TypeAlias


class Location(NamedTuple):
    """A place in a Dockerfile: lines and columns count from 1. ``end_line`` is the last line, heredocs included."""

    name: str
    line: int
    end_line: int
    column: int = 1


class Origin(NamedTuple):
    """Where an instruction comes from.

    :param keyword: as written, ``Run``.
    :param text: the instruction as one line: continuations joined, comments inside dropped, heredocs left out.
    :param comments: the comments right above, without ``#``.
    """

    keyword: str
    text: str
    location: Location
    comments: tuple[str, ...] = ()


class Heredoc(NamedTuple):
    """A ``<<NAME`` and the lines up to ``NAME``.

    :param content: undecodable bytes are surrogates: ``content.encode("utf-8", "surrogateescape")`` gives the file.
    :param expand: the name was not quoted, so that variables in the content are replaced.
    :param chomp: ``<<-``: tabs at the beginning of lines do not count; ``content`` still has them.
    :param descriptor: of ``3<<NAME``, otherwise 0.
    """

    name: str
    content: str
    expand: bool = True
    chomp: bool = False
    descriptor: int = 0


class CommandLine(NamedTuple):
    """A command. ``shell``: ``words`` is at most one, which the stage's shell is to run; otherwise it is a vector."""

    words: tuple[str, ...]
    shell: bool
    heredocs: tuple[Heredoc, ...] = ()


class InlineFile(NamedTuple):
    """A file that ``COPY`` and ``ADD`` make of a heredoc; tabs are already gone where the heredoc says ``<<-``."""

    path: str
    content: str
    expand: bool


class Pair(NamedTuple):
    """A name and a value; ``legacy``: written ``ENV name value``, without the equals sign."""

    name: str
    value: str
    legacy: bool = False


class Argument(NamedTuple):
    """One ``name`` or ``name=default`` of ``ARG``; ``description`` is what a comment ``# name ...`` says."""

    name: str
    default: str | None
    description: str = ""


class From(NamedTuple):
    origin: Origin
    base: str
    platform: str = ""
    stage: str = ""


class Run(NamedTuple):
    """``mounts``: the values of ``--mount``, for :func:`lamina.dockerfile.mount.parse_mount`."""

    origin: Origin
    command: CommandLine
    mounts: tuple[str, ...] = ()
    network: str = "default"
    security: str = "sandbox"
    devices: tuple[str, ...] = ()


class Cmd(NamedTuple):
    origin: Origin
    command: CommandLine


class Entrypoint(NamedTuple):
    origin: Origin
    command: CommandLine


class Shell(NamedTuple):
    origin: Origin
    words: tuple[str, ...]


class Copy(NamedTuple):
    """``stage``: the value of ``--from``, a stage, a named context or an image; nothing for the build context."""

    origin: Origin
    sources: tuple[str, ...]
    contents: tuple[InlineFile, ...]
    destination: str
    stage: str = ""
    chown: str = ""
    chmod: str = ""
    link: bool = False
    parents: bool = False
    exclude: tuple[str, ...] = ()


class Add(NamedTuple):
    """``keep_git_dir`` and ``unpack`` are ``None`` where the flag is not given."""

    origin: Origin
    sources: tuple[str, ...]
    contents: tuple[InlineFile, ...]
    destination: str
    chown: str = ""
    chmod: str = ""
    link: bool = False
    keep_git_dir: bool | None = None
    checksum: str = ""
    unpack: bool | None = None
    exclude: tuple[str, ...] = ()


class Env(NamedTuple):
    origin: Origin
    pairs: tuple[Pair, ...]


class Label(NamedTuple):
    origin: Origin
    pairs: tuple[Pair, ...]


class Arg(NamedTuple):
    origin: Origin
    arguments: tuple[Argument, ...]


class Expose(NamedTuple):
    """``ports`` are sorted, as Docker has them."""

    origin: Origin
    ports: tuple[str, ...]


class Volume(NamedTuple):
    origin: Origin
    paths: tuple[str, ...]


class User(NamedTuple):
    origin: Origin
    user: str


class Workdir(NamedTuple):
    origin: Origin
    path: str


class StopSignal(NamedTuple):
    origin: Origin
    signal: str


class Healthcheck(NamedTuple):
    """``check``: Docker's ``HealthConfig``, durations in nanoseconds."""

    origin: Origin
    check: dict[str, Any]


class OnBuild(NamedTuple):
    """``expression``: the instruction to run later, heredocs included, for ``parse_instruction``."""

    origin: Origin
    expression: str


class Maintainer(NamedTuple):
    origin: Origin
    author: str


Instruction: TypeAlias = (
    Run
    | Cmd
    | Entrypoint
    | Shell
    | Copy
    | Add
    | Env
    | Label
    | Arg
    | Expose
    | Volume
    | User
    | Workdir
    | StopSignal
    | Healthcheck
    | OnBuild
    | Maintainer
)


class Stage(NamedTuple):
    """``FROM`` and what follows it. ``number`` counts from 0; ``name`` is in lower case, empty without ``AS``."""

    number: int
    name: str
    source: From
    instructions: tuple[Instruction, ...]


class Notice(NamedTuple):
    """Something that Docker accepts for now."""

    message: str
    location: Location


class Dockerfile(NamedTuple):
    """A Dockerfile.

    :param arguments: ``ARG`` before the first ``FROM``.
    :param escape: the escape character, a backslash or a backtick.
    :param syntax: value of the ``syntax`` directive, or nothing.
    :param check: value of the ``check`` directive, or nothing.
    """

    name: str
    arguments: tuple[Arg, ...]
    stages: tuple[Stage, ...]
    escape: str = "\\"
    syntax: str = ""
    check: str = ""
    warnings: tuple[Notice, ...] = ()

"""The console script ``lamina``: global flags, choice of the verb, and how failures end.

Only the chosen verb's module is imported. The environment is read here and nowhere else in the project:
``LAMINA_ROOT``, ``DOCKER_CONFIG``, ``HOME``, ``XDG_DATA_HOME`` and the proxy variables.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Mapping, Sequence
from io import BufferedWriter, FileIO, TextIOWrapper

from lamina.cli.command import PROGRAM, Command, CommandError, Context, Options
from lamina.cli.flags import Flag, FlagError, Parsed, Parser, switch, text
from lamina.cli.verbs import GROUPS, VERBS
from lamina.errors import LaminaError, exit_code, system_reason
from lamina.typing import Any, NoReturn, TextIO

#: Exit code for flags that don't parse, as docker's.
FLAG_ERROR = 125
_INTERRUPTED = 130
#: Objects made before the first search for cycles: imports alone make ten times Python's own threshold.
_GARBAGE_THRESHOLD = 20_000
_BROKEN_PIPE = 141
#: How errors name standard output.
_STDOUT = "/dev/stdout"
_HELP = switch("help", "Print usage", hidden=True)
_DEPRECATED_HELP = switch("deprecated help", "", short="h", hidden=True)


def global_flags(environment: Mapping[str, str]) -> tuple[Flag, ...]:
    """The flags before the verb."""
    return (
        text("config", "Location of client config files", default=_docker_config_dir(environment)),
        switch("debug", "Enable debug mode", short="D"),
        text("root", "Data root to work on", default=environment.get("LAMINA_ROOT", "")),
        text("storage-driver", "Graph driver to use (default: what the data root has, else overlay2)"),
        text("userns-remap", "User/Group setting for user namespaces"),
        switch("version", "Print version information and quit", short="v"),
    )


def program() -> NoReturn:
    """The console script: :func:`main`, then the end without taking the interpreter apart, which takes longer than
    many a command does. Whatever has to be undone at the end is undone by ``with`` blocks, not at exit."""
    gc.set_threshold(_GARBAGE_THRESHOLD)
    code = 1
    try:
        code = main(sys.argv[1:])
        sys.stderr.flush()
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(code)


def main(argv: Sequence[str]) -> int:
    """Run one command line and return its exit code. ``argv`` is without the program's name."""
    words = list(argv)
    if None in (sys.stdin, sys.stdout, sys.stderr):
        _fill_standard_streams()
    stdout, stderr = _named(_prepare(sys.stdout)), _prepare(sys.stderr)
    try:
        code = _guarded(words, stdout, stderr)
        stdout.flush()
    except BrokenPipeError:
        # The reader went away. Python would complain again at exit, when it flushes what is left.
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stdout.fileno())
        os.close(null)
        return _BROKEN_PIPE
    except OSError as error:
        if error.filename != _STDOUT:
            raise
        stderr.write(f"write {system_reason(error)}\n")
        return 1
    return code


def _fill_standard_streams() -> None:
    """Put the null device where the caller closed a standard stream: a file of the root must not be taken for one."""
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is None:
            null = os.open(os.devnull, os.O_RDWR)
            if null != number:
                os.dup2(null, number)
                os.close(null)
            os.set_inheritable(number, True)
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115 - for as long as the process lives


class _StandardOutput(FileIO):
    """Descriptor 1, whose errors name it as those of files name theirs: a full disk behind it is not the root's."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError as error:
            error.filename = _STDOUT
            raise


def _named(stream: TextIO) -> TextIO:
    """``stream`` in its place in ``sys``, with :class:`_StandardOutput` below it where it is the process's own."""
    buffer = getattr(stream, "buffer", None)
    raw = getattr(buffer, "raw", buffer)
    if raw.__class__ is not FileIO:
        return stream
    output = _StandardOutput(stream.fileno(), "w", closefd=False)
    sys.stdout = TextIOWrapper(
        output if raw is buffer else BufferedWriter(output),
        stream.encoding,
        stream.errors,
        "\n",
        line_buffering=bool(stream.line_buffering),
        write_through=raw is buffer,
    )
    return sys.stdout


def _prepare(stream: TextIO) -> TextIO:
    # Docker writes UTF-8 whatever the locale, and names from disk that are no text pass through unchanged.
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(encoding="utf-8", errors="surrogateescape", newline="\n")
    return stream


def _guarded(words: list[str], stdout: TextIO, stderr: TextIO) -> int:
    debug = False
    try:
        flags = global_flags(os.environ)
        options = Options(_parse(flags, words, "", interspersed=False, stderr=stderr))
        debug = options.on("debug")
        return _dispatch(options, flags, stdout, stderr)
    except CommandError as refusal:
        stdout.flush()
        if refusal.text:
            stderr.write(refusal.text + "\n")
        return refusal.code
    except LaminaError as error:
        if debug:
            raise
        stdout.flush()
        stderr.write(f"Error response from daemon: {error}\n")
        return exit_code(error)
    except OSError as error:
        if debug or error.filename == _STDOUT:
            raise
        stdout.flush()
        stderr.write(f"Error response from daemon: {system_reason(error)}\n")
        return 1
    except KeyboardInterrupt:
        stderr.write("\n")
        return _INTERRUPTED


def _dispatch(options: Options, flags: Sequence[Flag], stdout: TextIO, stderr: TextIO) -> int:
    rest = options.arguments
    if options.on("help") or options.on("deprecated help") or not rest:
        if options.on("version"):
            stdout.write(f"{PROGRAM} version {_version()}\n")
            return 0
        stream = stdout if options.on("help") or options.on("deprecated help") else stderr
        return _program_help(stream, flags)
    if rest[0] == "help":
        return _help_verb(rest[1:], stdout, flags)
    name, verb_words = rest[0], rest[1:]
    module_name = VERBS.get(name)
    path = name
    if module_name is None:
        if name not in GROUPS:
            return _unknown_verb(name, verb_words, stdout, flags)
        found = _in_group(name, verb_words, stdout, stderr)
        if isinstance(found, int):
            return found
        path, module_name, verb_words = found
    module = _module(module_name)
    command: Command = module.COMMAND
    verb_options = _verb_options(command, path, verb_words, stdout, stderr)
    if verb_options is None:
        return 0
    root = options.text("root")
    if os.geteuid() != 0:
        from lamina.cli import rootless

        if rootless.needs_namespace(path):
            root = rootless.enter(root, os.environ, stderr)
    context = Context(
        path,
        root=root or None,
        storage_driver=options.text("storage-driver") or None,
        userns_remap=options.text("userns-remap") or None,
        docker_config_dir=options.text("config"),
        debug=options.on("debug"),
        environment=os.environ,
        stdin=sys.stdin,
        stdout=stdout,
        stderr=stderr,
    )
    try:
        code: int = module.run(context, verb_options)
    finally:
        context.close()
    return code


def _module(name: str) -> Any:
    """A verb's. What ``importlib`` does with a name costs half a millisecond of loading it."""
    return __import__(f"lamina.cli.{name}", fromlist=["COMMAND"])


def _in_group(group_name: str, words: list[str], stdout: TextIO, stderr: TextIO) -> tuple[str, str, list[str]] | int:
    """Path, module and remaining words of a verb in a group; an exit code when help was all that was wanted."""
    group = GROUPS[group_name]
    options = Options(_parse((), words, group_name, interspersed=False, stderr=stderr))
    typed, *rest = options.arguments or [""]
    wanted = options.on("help") or options.on("deprecated help")
    verb = group.aliases.get(typed, typed)
    if verb in group.verbs and not wanted:
        return f"{group_name} {verb}", group.verbs[verb], rest
    from lamina.cli import help as usage

    wanted = wanted or "--help" in rest
    (stdout if wanted else stderr).write(usage.group_help(group_name))
    return 0 if wanted or not typed else 1


def _verb_options(command: Command, path: str, words: list[str], stdout: TextIO, stderr: TextIO) -> Options | None:
    """What was typed after the verb, checked; ``None`` after help was shown."""
    options = Options(_parse(command.flags, words, path, interspersed=command.interspersed, stderr=stderr))
    if options.on("help") or options.on_if_known("deprecated help"):
        from lamina.cli import help as usage

        stdout.write(usage.verb_help(command, path))
        return None
    complaint = command.arguments.complaint(len(options.arguments))
    if complaint is not None:
        raise CommandError(
            f"\"{PROGRAM} {path}\" {complaint}\nSee '{PROGRAM} {path} --help'.\n\n"
            f"Usage:  {PROGRAM} {path} {command.usage}".rstrip()
            + f"\n\n{command.summary}"
        )
    return options


def _parse(flags: Sequence[Flag], words: list[str], path: str, *, interspersed: bool, stderr: TextIO) -> Parsed:
    """Parse with ``--help`` added, and ``-h`` where no flag has that letter."""
    extra = [] if any(flag.name == "help" for flag in flags) else [_HELP]
    if not any(flag.short == "h" for flag in flags):
        extra.append(_DEPRECATED_HELP)
    try:
        parsed = Parser((*flags, *extra), interspersed=interspersed).parse(words)
    except FlagError as error:
        raise CommandError(_flag_complaint(str(error), path, flags), FLAG_ERROR) from None
    if _DEPRECATED_HELP.name in parsed.given:
        stderr.write("Flag shorthand -h has been deprecated, please use --help\n")
    return parsed


def _flag_complaint(message: str, path: str, flags: Sequence[Flag]) -> str:
    name = f"{PROGRAM} {path}".rstrip()
    complaint = f"{message}\nSee '{name} --help'."
    if path and path not in GROUPS:
        return complaint
    from lamina.cli import help as usage

    return f"{complaint}\n{usage.group_help(path) if path else usage.program_help(flags)}"


def _program_help(stream: TextIO, flags: Sequence[Flag]) -> int:
    from lamina.cli import help as usage

    stream.write(usage.program_help(flags))
    return 0


def _help_verb(words: list[str], stdout: TextIO, flags: Sequence[Flag]) -> int:
    """``lamina help [VERB...]``."""
    from lamina.cli import help as usage

    if not words:
        return _program_help(stdout, flags)
    if words[0] in VERBS:
        stdout.write(usage.verb_help(_module(VERBS[words[0]]).COMMAND, words[0]))
        return 0
    if words[0] not in GROUPS:
        raise CommandError(f"unknown help topic: {' '.join(words)}")
    group = GROUPS[words[0]]
    verb = group.aliases.get(words[1], words[1]) if len(words) > 1 else ""
    if verb in group.verbs:
        module = _module(group.verbs[verb])
        stdout.write(usage.verb_help(module.COMMAND, f"{words[0]} {verb}"))
    else:
        stdout.write(usage.group_help(words[0]))
    return 0


def _unknown_verb(name: str, words: list[str], stdout: TextIO, flags: Sequence[Flag]) -> int:
    if "--help" in words:
        return _program_help(stdout, flags)
    raise CommandError(f"{PROGRAM}: '{name}' is not a {PROGRAM} command.\nSee '{PROGRAM} --help'")


def _docker_config_dir(environment: Mapping[str, str]) -> str:
    return environment.get("DOCKER_CONFIG") or os.path.join(os.path.expanduser("~"), ".docker")


def _version() -> str:
    from lamina.version import __version__

    return __version__

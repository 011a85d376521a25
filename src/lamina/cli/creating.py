"""Flags of ``run`` and ``create``, and what they say in Docker's ``Config`` and ``HostConfig``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lamina.cli.command import PROGRAM, CommandError, Context, Options
from lamina.cli.flags import Flag, integer, switch, text, texts
from lamina.cli.mountflag import parse_mount
from lamina.errors import LaminaError, NotFound

if TYPE_CHECKING:
    from lamina.container.record import Container

#: Exit code of ``run`` and ``create`` when the engine itself refuses.
ENGINE_FAILED = 125
_STREAMS = ("stdin", "stdout", "stderr")


def _stream(value: str) -> str:
    if value.lower() not in _STREAMS:
        raise ValueError("valid streams are STDIN, STDOUT and STDERR")
    return value.lower()


def _variable(value: str) -> str:
    if not value.partition("=")[0]:
        raise ValueError(f"invalid environment variable: {value}")
    return value


#: What both verbs know.
FLAGS: tuple[Flag, ...] = (
    texts("attach", "Attach to STDIN, STDOUT or STDERR", short="a", parse=_stream),
    text("cidfile", "Write the container ID to the file"),
    text("entrypoint", "Overwrite the default ENTRYPOINT of the image"),
    texts("env", "Set environment variables", short="e", parse=_variable),
    texts("env-file", "Read in a file of environment variables"),
    texts("group-add", "Add additional groups to join"),
    text("hostname", "Container host name", short="h"),
    switch("interactive", "Keep STDIN open even if not attached", short="i"),
    texts("label", "Set meta data on a container", short="l"),
    texts("label-file", "Read in a line delimited file of labels"),
    texts("mount", "Attach a filesystem mount to the container", type_name="mount", parse=parse_mount),
    text("name", "Assign a name to the container"),
    text("network", 'Connect a container to a network ("none"|"host")', default="default", type_name="network"),
    text("net", "", default="default", hidden=True, into="network"),
    text("platform", "Set platform if server is multi-platform capable"),
    text("pull", 'Pull image before running ("always"|"missing"|"never")', default="missing"),
    switch("read-only", "Mount the container's root filesystem as read only"),
    switch("rm", "Automatically remove the container when it exits"),
    text("stop-signal", "Signal to stop a container", default="SIGTERM"),
    integer("stop-timeout", "Timeout (in seconds) to stop a container"),
    texts("tmpfs", "Mount a tmpfs directory"),
    switch("tty", "Allocate a pseudo-TTY", short="t"),
    text("user", "Username or UID (format: <name|uid>[:<group|gid>])", short="u"),
    texts("volume", "Bind mount a volume", short="v"),
    text("workdir", "Working directory inside the container", short="w"),
)


def create(context: Context, options: Options, verb: str, *, detached: bool) -> Container:
    """Make the container that the command line describes, pulling its image where it may.

    :raises CommandError: with docker's words and exit code 125.
    """
    from lamina.container.creation import CreateRequest

    cid_file = options.text("cidfile")
    try:
        if cid_file and os.path.exists(cid_file):
            raise CommandError(
                f"container ID file found, make sure the other container isn't running or delete {cid_file}"
            )
        request = CreateRequest(
            _config(context, options, detached=detached), _host_config(options), options.text("name")
        )
    except CommandError as error:
        raise failure(verb, error.text) from None
    try:
        container = _create(context, options, request)
    except LaminaError as error:
        raise failure(verb, f"Error response from daemon: {error}") from error
    if cid_file:
        with open(cid_file, "w", encoding="ascii") as file:
            file.write(container.id)
    return container


def failure(verb: str, message: str, code: int = ENGINE_FAILED, *, show_help: bool = True) -> CommandError:
    """How ``run`` and ``create`` complain."""
    text = f"{PROGRAM}: {message.removesuffix('.')}."
    if show_help:
        text += f"\nSee '{PROGRAM} {verb} --help'."
    return CommandError(text, code)


def _create(context: Context, options: Options, request: Any) -> Container:
    service = context.engine().container_service
    policy = options.text("pull")
    if policy == "always":
        _pull(context, options)
    try:
        return service.create(request)
    except NotFound as error:
        if policy == "never" or not str(error).startswith("No such image"):
            raise
    from lamina.reference import parse_tagged

    context.warn(f"Unable to find image '{parse_tagged(options.arguments[0]).familiar}' locally")
    _pull(context, options)
    return service.create(request)


def _pull(context: Context, options: Options) -> None:
    from lamina.cli.progress import reporter
    from lamina.distribution.pull import pull
    from lamina.oci.platform import from_text
    from lamina.reference import parse_tagged

    engine = context.engine()
    platform = from_text(options.text("platform")) if options.text("platform") else None
    report = reporter(context.stderr, quiet=False)
    pull(parse_tagged(options.arguments[0]), engine.stores, engine.registry, platform=platform, report=report)


def _config(context: Context, options: Options, *, detached: bool) -> dict[str, Any]:
    attach = options.texts("attach")
    interactive = options.on("interactive")
    if not attach and not detached:
        attach = ["stdout", "stderr", *(["stdin"] if interactive else [])]
    config: dict[str, Any] = {
        "Image": options.arguments[0],
        "Cmd": options.arguments[1:] or None,
        "Hostname": options.text("hostname"),
        "User": options.text("user"),
        "WorkingDir": options.text("workdir"),
        "Tty": options.on("tty"),
        "OpenStdin": interactive,
        "StdinOnce": interactive and "stdin" in attach,
        "AttachStdin": "stdin" in attach,
        "AttachStdout": "stdout" in attach,
        "AttachStderr": "stderr" in attach,
        "Env": _variables(options.texts("env-file"), options.texts("env"), context.environment),
        "Labels": _labels(options),
    }
    if options.given("entrypoint"):
        config["Entrypoint"] = [options.text("entrypoint")]
    if options.given("stop-signal"):
        config["StopSignal"] = options.text("stop-signal")
    if options.given("stop-timeout"):
        config["StopTimeout"] = options.integer("stop-timeout")
    anonymous = [value for value in options.texts("volume") if ":" not in value]
    if anonymous:
        config["Volumes"] = {value: {} for value in anonymous}
    return config


def _host_config(options: Options) -> dict[str, Any]:
    binds = [_absolute(value) for value in options.texts("volume") if ":" in value]
    tmpfs = dict(value.partition(":")[::2] for value in options.texts("tmpfs"))
    return {
        "Binds": binds or None,
        "Mounts": options.value("mount"),
        "Tmpfs": tmpfs,
        "NetworkMode": options.text("network"),
        "AutoRemove": options.on("rm"),
        "ReadonlyRootfs": options.on("read-only"),
        "GroupAdd": options.texts("group-add") or None,
        "ContainerIDFile": options.text("cidfile"),
    }


def _absolute(bind: str) -> str:
    """``./dir:/target`` with the host path made absolute."""
    source, colon, rest = bind.partition(":")
    if source == "." or source.startswith(("./", "../")) or source == "..":
        source = os.path.abspath(source)
    return source + colon + rest


def _variables(files: list[str], given: list[str], environment: Mapping[str, str]) -> list[str]:
    """``NAME=value`` entries; a name alone takes the caller's value, and is left out where there is none."""
    entries = [line for path in files for line in _lines(path, "environment") if line]
    found = []
    for entry in [*entries, *given]:
        if "=" in entry:
            found.append(entry)
        elif entry in environment:
            found.append(f"{entry}={environment[entry]}")
    return found


def _labels(options: Options) -> dict[str, str]:
    entries = [line for path in options.texts("label-file") for line in _lines(path, "label")]
    return dict(entry.partition("=")[::2] for entry in [*entries, *options.texts("label")])


def _lines(path: str, what: str) -> list[str]:
    """Lines of an ``--env-file`` or ``--label-file``: comments and empty ones dropped."""
    try:
        with open(path, encoding="utf-8-sig") as file:
            lines = [line.lstrip() for line in file.read().splitlines()]
    except OSError as error:
        raise CommandError(f"open {path}: {(error.strerror or '').lower()}") from None
    except UnicodeDecodeError:
        raise CommandError(f"{path}: invalid utf8 bytes") from None
    lines = [line for line in lines if line and not line.startswith("#")]
    for line in lines:
        name = line.partition("=")[0]
        if not name:
            raise CommandError(f"no variable name on line '{line}'")
        if any(character.isspace() for character in name):
            raise CommandError(f"poorly formatted {what}: variable '{name}' contains whitespaces")
    return lines

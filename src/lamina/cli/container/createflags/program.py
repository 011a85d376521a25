"""What is run: image, command, environment, user, terminal, labels."""

from __future__ import annotations

from collections.abc import Mapping

from lamina.cli.command import CommandError, Context, Options
from lamina.cli.flags import Flag, switch, text, texts
from lamina.typing import Any

_STREAMS = ("stdin", "stdout", "stderr")


def _stream(value: str) -> str:
    if value.lower() not in _STREAMS:
        raise ValueError("valid streams are STDIN, STDOUT and STDERR")
    return value.lower()


def parse_variable(value: str) -> str:
    if not value.partition("=")[0]:
        raise ValueError(f"invalid environment variable: {value}")
    return value


FLAGS: tuple[Flag, ...] = (
    texts("attach", "Attach to STDIN, STDOUT or STDERR", short="a", parse=_stream),
    text("entrypoint", "Overwrite the default ENTRYPOINT of the image"),
    texts("env", "Set environment variables", short="e", parse=parse_variable),
    texts("env-file", "Read in a file of environment variables"),
    texts("group-add", "Add additional groups to join"),
    switch("interactive", "Keep STDIN open even if not attached", short="i"),
    texts("label", "Set meta data on a container", short="l"),
    texts("label-file", "Read in a line delimited file of labels"),
    switch("tty", "Allocate a pseudo-TTY", short="t"),
    text("user", "Username or UID (format: <name|uid>[:<group|gid>])", short="u"),
    text("workdir", "Working directory inside the container", short="w"),
)


def config(context: Context, options: Options, *, detached: bool) -> dict[str, Any]:
    attach = options.texts("attach")
    interactive = options.on("interactive")
    if not attach and not detached:
        attach = ["stdout", "stderr", *(["stdin"] if interactive else [])]
    config: dict[str, Any] = {
        "Image": options.arguments[0],
        "Cmd": options.arguments[1:] or None,
        "User": options.text("user"),
        "WorkingDir": options.text("workdir"),
        "Tty": options.on("tty"),
        "OpenStdin": interactive,
        "StdinOnce": interactive and "stdin" in attach,
        "AttachStdin": "stdin" in attach,
        "AttachStdout": "stdout" in attach,
        "AttachStderr": "stderr" in attach,
        "Env": variables(options.texts("env-file"), options.texts("env"), context.environment),
        "Labels": _labels(options),
    }
    if options.given("entrypoint"):
        config["Entrypoint"] = [options.text("entrypoint")]
    return config


def host_config(options: Options) -> dict[str, Any]:
    return {"GroupAdd": options.texts("group-add") or None}


def variables(files: list[str], given: list[str], environment: Mapping[str, str]) -> list[str]:
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

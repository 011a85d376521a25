"""Flags of ``run`` and ``create``, and what they say in Docker's ``Config`` and ``HostConfig``."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

from lamina.cli.command import PROGRAM, CommandError, Context, Options
from lamina.cli.container.createflags import isolation, lifecycle, limits, networking, program, storage
from lamina.cli.flags import Flag, text
from lamina.contextlib import contextmanager
from lamina.errors import LaminaError, NotFound
from lamina.reference import InvalidReference
from lamina.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lamina.container.record import Container
    from lamina.container.request import CreateRequest

#: Exit code of ``run`` and ``create`` when the engine itself refuses.
ENGINE_FAILED = 125

#: What both verbs know.
FLAGS: tuple[Flag, ...] = (
    *program.FLAGS,
    *storage.FLAGS,
    *networking.FLAGS,
    *isolation.FLAGS,
    *limits.FLAGS,
    *lifecycle.FLAGS,
    text("platform", "Set platform if server is multi-platform capable"),
    text("pull", 'Pull image before running ("always"|"missing"|"never")', default="missing"),
)


def request(context: Context, options: Options, verb: str, *, detached: bool) -> CreateRequest:
    """What the command line asks for. Raises :class:`CommandError` with docker's words and exit code 125."""
    from lamina.container.request import CreateRequest

    cid_file = options.text("cidfile")
    try:
        if cid_file and os.path.exists(cid_file):
            raise CommandError(
                f"container ID file found, make sure the other container isn't running or delete {cid_file}"
            )
        return CreateRequest(
            _config(context, options, detached=detached),
            _host_config(options),
            options.text("name"),
            networking.endpoints(options),
        )
    except CommandError as error:
        raise failure(verb, error.text) from None


def create(context: Context, options: Options, wanted: CreateRequest, verb: str) -> Container:
    """Make the container, pulling its image where it may.

    :raises CommandError: with docker's words and exit code 125.
    """
    for warning in limits.advice(options):
        context.warn(f"WARNING: {warning}")
    try:
        with _cid_file(options.text("cidfile")) as write:
            container = _create(context, options, wanted)
            write(container.id)
    except (LaminaError, OSError) as error:
        raise failure(verb, answer(error)) from error
    for warning in (*container.warnings, *networking.advice(container.network_mode)):
        context.warn(f"WARNING: {warning}")
    return container


def answer(error: LaminaError | OSError) -> str:
    """What docker says: a name's grammar and files are its client's business."""
    if isinstance(error, OSError):
        reason = (error.strerror or "").lower()
        return f"failed to create the container ID file: open {error.filename}: {reason}"
    return str(error) if isinstance(error, InvalidReference) else f"Error response from daemon: {error}"


@contextmanager
def _cid_file(path: str) -> Iterator[Callable[[str], object]]:
    """Something that writes the file, which is made at once and goes again where nothing was written."""
    if not path:
        yield lambda _: None
        return
    with open(path, "w", encoding="ascii") as file:
        try:
            yield file.write
        except BaseException:
            os.unlink(path)
            raise


def failure(verb: str, message: str, code: int = ENGINE_FAILED, *, show_help: bool = True) -> CommandError:
    """How ``run`` and ``create`` complain."""
    text = f"{PROGRAM}: {message.removesuffix('.')}."
    if show_help:
        text += f"\nSee '{PROGRAM} {verb} --help'."
    return CommandError(text, code)


def _create(context: Context, options: Options, wanted: CreateRequest) -> Container:
    service = context.engine().container_service
    policy = options.text("pull")
    if policy == "always":
        _pull(context, options)
    try:
        return service.create(wanted)
    except NotFound as error:
        if policy == "never" or not str(error).startswith("No such image"):
            raise
    from lamina.reference import parse_tagged

    context.warn(f"Unable to find image '{parse_tagged(options.arguments[0]).familiar}' locally")
    _pull(context, options)
    return service.create(wanted)


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
    result = program.config(context, options, detached=detached)
    for part in (storage, networking, isolation, limits, lifecycle):
        result |= part.config(options)
    return result


def _host_config(options: Options) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for part in (program, storage, networking, isolation, limits, lifecycle):
        result |= part.host_config(options)
    return result

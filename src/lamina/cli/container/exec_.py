"""``lamina exec``."""

from __future__ import annotations

import os

from lamina.cli.command import Command, CommandError, Context, Options, at_least
from lamina.cli.container.attaching import check_keys, check_terminal, terminal_followed
from lamina.cli.container.createflags.program import parse_variable, variables
from lamina.cli.flags import switch, text, texts
from lamina.contextlib import suppress
from lamina.errors import LaminaError, NotFound
from lamina.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lamina.container.execution import ExecRequest, Place
    from lamina.container.record import Container

COMMAND = Command(
    usage="[OPTIONS] CONTAINER COMMAND [ARG...]",
    summary="Run a command in a running container",
    arguments=at_least(2),
    interspersed=False,
    flags=(
        switch("detach", "Detached mode: run command in the background", short="d"),
        text("detach-keys", "Override the key sequence for detaching a container"),
        texts("env", "Set environment variables", short="e", parse=parse_variable),
        texts("env-file", "Read in a file of environment variables"),
        switch("interactive", "Keep STDIN open even if not attached", short="i"),
        switch("privileged", "Give extended privileges to the command"),
        switch("tty", "Allocate a pseudo-TTY", short="t"),
        text("user", "Username or UID (format: <name|uid>[:<group|gid>])", short="u"),
        text("workdir", "Working directory inside the container", short="w"),
    ),
)

#: Exit code when the process can't be started, whatever the reason.
_NOT_STARTED = 126
#: The runtime moves the process within so many seconds, unless it is late anyway.
_UNTIL_MOVED = 0.1


def run(context: Context, options: Options) -> int:
    from lamina.runtime import cgroup

    cgroup.warm_up(seconds=_UNTIL_MOVED)  # what it waits for passes while the rest is loaded
    from lamina.linux import process

    process.set_child_subreaper()
    try:
        return _run(context, options)
    except LaminaError:
        _reap()
        raise


def _reap() -> None:
    """A runtime that fails leaves a dead child in the container, which could not end before somebody noticed."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _run(context: Context, options: Options) -> int:
    check_keys(options.text("detach-keys"))
    request = _request(context, options)
    if not options.on("detach"):
        check_terminal(context, stdin=options.on("interactive"), terminal=options.on("tty"))
    container = _container(context, options.arguments[0])
    return (
        _detached(context, container, request)
        if options.on("detach")
        else _attached(context, options, container, request)
    )


def _request(context: Context, options: Options) -> ExecRequest:
    from lamina.container.execution import ExecRequest

    return ExecRequest(
        tuple(options.arguments[1:]),
        tuple(variables(options.texts("env-file"), options.texts("env"), context.environment)),
        options.text("user"),
        options.text("workdir"),
        options.on("tty"),
        options.on("interactive") and not options.on("detach"),
        options.on("privileged"),
    )


def _container(context: Context, name: str) -> Container:
    """The container that is to be entered, found without what only other verbs need."""
    from lamina.container.rundirectory import RunDirectory
    from lamina.container.states import require_enterable
    from lamina.container.store import ContainerStore

    root = context.engine().root
    store = ContainerStore(root)
    try:
        container = store.load(store.find(name))
        if container.running and not RunDirectory(root.sub("lamina", "run", container.id)).alive():
            container = context.engine().container_service.get(container.id)  # which puts its state right
    except NotFound as error:
        raise CommandError(f"Error: {error}") from None
    require_enterable(container, name)
    return container


def _place(context: Context, container: Container) -> Place:
    from lamina.container.execution import Place
    from lamina.container.rundirectory import RunDirectory
    from lamina.runtime import program, sealing

    root = context.engine().root
    return Place(root, RunDirectory(root.sub("lamina", "run", container.id)), sealing.sealed(program.find()))


def _detached(context: Context, container: Container, request: ExecRequest) -> int:
    from lamina.container import execution

    execution.start_detached(container, _place(context, container), request)
    return 0


def _attached(context: Context, options: Options, container: Container, request: ExecRequest) -> int:
    from lamina.container import execution
    from lamina.container.detaching import Detached, DetachKeys, parse_keys

    context.stdout.flush()
    out, err = context.stdout.fileno(), context.stderr.fileno()
    stdin = context.stdin.fileno() if request.open_stdin else None
    keys = DetachKeys(parse_keys(options.text("detach-keys"))) if request.terminal and stdin is not None else None
    try:
        running = execution.start(container, _place(context, container), request)
        with terminal_followed(context, running.streams, stdin=stdin, terminal=request.terminal):
            return running.relay(stdin, out, err, keys)
    except Detached:
        raise CommandError("read escape sequence") from None
    except LaminaError as error:
        # Docker says it where the process would have spoken.
        _reap()
        context.print(f"{error}\r")
        return _NOT_STARTED

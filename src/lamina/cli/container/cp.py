"""``lamina cp``."""

from __future__ import annotations

import os

from lamina.cli import outputpath
from lamina.cli.command import Command, CommandError, Context, Options, exactly
from lamina.cli.flags import switch
from lamina.errors import InvalidArgument, NotFound
from lamina.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lamina.container.copying import Place

COMMAND = Command(
    usage="[OPTIONS] CONTAINER:SRC_PATH DEST_PATH|-\n\tlamina cp [OPTIONS] SRC_PATH|- CONTAINER:DEST_PATH",
    summary="Copy files/folders between a container and the local filesystem",
    description=(
        "Copy files/folders between a container and the local filesystem\n\n"
        "Use '-' as the source to read a tar archive from stdin\n"
        "and extract it to a directory destination in a container.\n"
        "Use '-' as the destination to stream a tar archive of a\n"
        "container source to stdout."
    ),
    arguments=exactly(2),
    flags=(
        switch("archive", "Archive mode (copy all uid/gid information)", short="a"),
        switch("follow-link", "Always follow symbol link in SRC_PATH", short="L"),
    ),
)

_PIECE = 1 << 20


def run(context: Context, options: Options) -> int:
    source, target = options.arguments
    if not source:
        raise CommandError("source can not be empty")
    if not target:
        raise CommandError("destination can not be empty")
    from_container, source_path = _split(source)
    to_container, target_path = _split(target)
    if from_container and to_container:
        raise CommandError("copying between containers is not supported")
    follow = options.on("follow-link")
    try:
        if from_container:
            _out(context, from_container, source_path, target_path, follow=follow)
        elif to_container:
            _into(context, source_path, to_container, target_path, follow=follow)
        else:
            raise CommandError("must specify at least one container source")
    except NotFound as error:
        shown = str(error)
        if shown.startswith("No such container: "):
            name, path = (from_container, source_path) if from_container else (to_container, target_path)
            shown = f"No such container:path: {name}:{path}"
        raise CommandError(f"Error: {shown}") from error
    except InvalidArgument as error:
        raise CommandError(str(error)) from error
    return 0


def _split(argument: str) -> tuple[str, str]:
    """Container and path of ``CONTAINER:PATH``; a text that looks like a path is one, whatever colons it has."""
    if os.path.isabs(argument):
        return "", argument
    name, colon, path = argument.partition(":")
    if not colon or name.startswith("."):
        return "", argument
    return name, path


def _out(context: Context, name: str, path: str, target: str, *, follow: bool) -> None:
    from lamina.container import copying
    from lamina.container.files import ContainerFiles
    from lamina.tarball.writer import archive

    containers = ContainerFiles(context.engine().container_service)
    if target == "-":
        out = context.binary_stdout
        if out.isatty():
            raise CommandError("refusing to copy to a terminal: redirect the output or name a file")
        for chunk in archive(containers.archive(name, os.fsencode(path), follow=follow)):
            out.write(chunk)
        return
    outputpath.check(target, directory=True)
    root = os.open("/", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        destination = copying.followed(_host_place(root, target))
        containers.copy_from(name, os.fsencode(path), destination, follow=follow)
    finally:
        os.close(root)


def _into(context: Context, source: str, name: str, path: str, *, follow: bool) -> None:
    from lamina.container import copying
    from lamina.container.files import ContainerFiles

    containers = ContainerFiles(context.engine().container_service)
    if source == "-":
        stream = context.binary_stdin
        containers.extract_to(name, os.fsencode(path), iter(lambda: stream.read(_PIECE), b""))
        return
    root = os.open("/", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        place = _host_place(root, source)
        try:
            place = copying.look(copying.followed(place) if follow else place, follow=False)
        except NotADirectoryError:
            raise CommandError("not a directory") from None
        if not place.exists:
            raise CommandError(f"lstat {os.fsdecode(place.path)}: no such file or directory")
        containers.copy_to(name, os.fsencode(path), place)
    finally:
        os.close(root)


def _host_place(root: int, path: str) -> Place:
    """An absolute path that keeps the ``/`` or ``/.`` at its end, which have a meaning."""
    from lamina.container.copying import ON_HOST, Place, wants_content

    absolute = os.fsencode(os.path.abspath(path))
    raw = os.fsencode(path)
    if wants_content(raw):
        absolute = absolute.rstrip(b"/") + b"/."
    elif raw.endswith(b"/") and absolute != b"/":
        absolute += b"/"
    return Place(root, absolute, ON_HOST)

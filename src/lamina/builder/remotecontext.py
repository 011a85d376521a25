"""A build context that is elsewhere: a git repository, a tar or a Dockerfile at a URL. Messages are docker's."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping

from lamina.builder import contextstream, downloading, gitreference, gitrepository
from lamina.builder.additions import proxies
from lamina.builder.context import BadContext, Context
from lamina.builder.gitreference import GitReference
from lamina.builder.progress import Steps
from lamina.builder.watch import Watch
from lamina.contextlib import ExitStack, contextmanager
from lamina.errors import LaminaError
from lamina.graphdriver.removal import remove_tree
from lamina.layer.store import FileLayerStore
from lamina.linux import openat2
from lamina.registry.settings import Settings
from lamina.registry.transport import Transport
from lamina.typing import NamedTuple

#: Build argument: whether a git repository keeps its ``.git``.
KEEP_GIT_DIR = "BUILDKIT_CONTEXT_KEEP_GIT_DIR"


class Surroundings(NamedTuple):
    """How to reach what is elsewhere.

    :ivar arguments: build arguments, for proxies and for :data:`KEEP_GIT_DIR`.
    :ivar agent: path of an ssh agent's socket; ``""`` for none.
    """

    settings: Callable[[], Settings]
    arguments: Mapping[str, str] = {}
    agent: str = ""

    @property
    def keep_git_dir(self) -> bool:
        return self.arguments.get(KEEP_GIT_DIR, "").lower() in ("1", "t", "true")


@contextmanager
def opened(
    layers: FileLayerStore, text: str, surroundings: Surroundings, steps: Steps, dockerfile: str | None = ""
) -> Iterator[Context]:
    """The context that ``text`` names, see :func:`lamina.builder.context.is_remote`.

    :param dockerfile: its path in the context; of a URL of a Dockerfile it is ignored, as docker does. ``None`` when
        none is needed.
    :raises BadContext: it can't be had, or the text is malformed.
    """
    reference = gitreference.parse(text, context=True)
    if reference is None:
        with ExitStack() as stack:
            with steps.step(f"[internal] load remote build context {text}") as progress:
                watch = Watch(progress.output)
                context = stack.enter_context(_downloaded(layers, text, surroundings, dockerfile, watch))
            yield context
        return
    with layers.operation() as entry:
        path = layers.root.sub("lamina", "run", entry.new_id())
        os.makedirs(path, 0o700)
        try:
            with steps.step(f"[internal] load git source {text}") as progress:
                inside = clone(layers, reference, surroundings, path, Watch(progress.output))
            yield contextstream.extracted(inside, dockerfile)
        finally:
            remove_tree(path)


def clone(layers: FileLayerStore, reference: GitReference, surroundings: Surroundings, path: str, watch: Watch) -> str:
    """Fill an empty directory from a repository; the host path of the directory that the reference means.

    :raises BadContext: it can't be had.
    """
    access = gitrepository.Access(surroundings.agent, proxies(surroundings.arguments))
    try:
        with gitrepository.opened(layers.root, reference.remote, access, watch) as repository:
            commit = repository.commit(reference)
            repository.check_out(reference, commit, path, keep_git_dir=surroundings.keep_git_dir)
    except gitrepository.NoGit:
        raise
    except LaminaError as error:
        raise BadContext(
            f"unable to prepare context: unable to 'git clone' to temporary context directory: {error}"
        ) from error
    return _inside(path, reference.directory)


def _inside(path: str, directory: str) -> str:
    """The host path of a directory in a checkout; no link leads out of it."""
    if not directory:
        return path
    try:
        return openat2.path_in_root(path, directory, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise BadContext(f"unable to prepare context: {directory}: {error.strerror}") from error


@contextmanager
def _downloaded(
    layers: FileLayerStore, url: str, surroundings: Surroundings, dockerfile: str | None, watch: Watch
) -> Iterator[Context]:
    transport = Transport(downloading.settings_with(surroundings.settings(), surroundings.arguments))
    with ExitStack() as stack:
        try:
            with downloading.open_url(transport, url, {}) as answer:
                pieces = downloading.body(answer, watch)
                context = stack.enter_context(contextstream.from_pieces(layers, pieces, dockerfile))
        except downloading.DownloadFailed as error:
            raise BadContext(f"unable to prepare context: unable to download remote context {url}: {error}") from error
        finally:
            transport.close()
        yield context

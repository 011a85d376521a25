"""``ADD`` of what is elsewhere: URLs and git repositories."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from lamina.builder import downloading, gitreference, gitrepository
from lamina.builder.gitreference import GitReference
from lamina.builder.selection import Piece, Selection
from lamina.builder.session import Session
from lamina.builder.sums import FileSums
from lamina.builder.tree import NoSuchSource, Tree
from lamina.builder.watch import Watch
from lamina.contextlib import ExitStack
from lamina.dockerfile.instructions import Add
from lamina.errors import InvalidArgument
from lamina.graphdriver.removal import remove_tree


class Additions:
    """The remote sources of one ``ADD``; what they need is released by ``stack``.

    :param arguments: values of build arguments, for proxies.
    """

    def __init__(
        self, session: Session, instruction: Add, target: str, arguments: Mapping[str, str], stack: ExitStack
    ) -> None:
        self._session = session
        self._instruction = instruction
        self._target = target
        self._arguments = arguments
        self._stack = stack
        self._known: dict[str, Selection] = {}

    def check_checksum(self) -> None:
        """Raises ``InvalidArgument`` where there is nothing, or too much, that ``--checksum`` could be about."""
        if not self._instruction.checksum:
            return
        if len(self._instruction.sources) > 1:
            raise InvalidArgument("checksum can't be specified for multiple sources")
        if not any(is_url(source) or gitreference.parse(source) for source in self._instruction.sources):
            raise InvalidArgument("checksum requires HTTP(S) or Git sources")

    def selection(self, source: str) -> Selection | None:
        """What a source selects; ``None`` for a path in the context."""
        if source not in self._known:
            reference = gitreference.parse(source)
            if reference is not None:
                self._known[source] = self._repository(reference, source)
            elif is_url(source):
                self._known[source] = self._url(source)
        return self._known.get(source)

    def _url(self, url: str) -> Selection:
        """The file at a URL. One that the server says has not changed is not fetched again."""
        session = self._session
        settings = downloading.settings_with(session.settings(), self._arguments)
        with session.step(url) as progress:
            watch = Watch(progress.output, session.check)
            download = self._stack.enter_context(
                downloading.fetched(session.root, url, settings, self._instruction.checksum, watch)
            )
            progress.cached = not download.fresh
        if download.name == downloading.UNNAMED and self._target.endswith("/"):
            raise InvalidArgument(f"cannot determine filename for source {url}")
        sums = FileSums(f"{os.path.dirname(download.directory)}/sums")
        tree = Tree(download.directory, owned=True, sums=sums, shown=url)
        self._stack.callback(tree.close)
        found = tree.at(download.name)
        sums.save()
        unpack = self._instruction.unpack is True
        digest = found.digest.removeprefix("file:")  # as in Docker's history
        return Selection((digest,), (), lambda: [Piece(tree, found, unpack)])

    def _repository(self, reference: GitReference, text: str) -> Selection:
        """A tree of a git repository. It is fetched when the step is not cached."""
        session, checksum = self._session, self._instruction.checksum
        keep = bool(self._instruction.keep_git_dir)
        access = gitrepository.Access(proxies=proxies(self._arguments))
        with session.step(text) as progress:
            repository = self._stack.enter_context(
                gitrepository.opened(session.root, reference.remote, access, Watch(progress.output, session.check))
            )
            commit = repository.commit(reference)
        if checksum and not commit.startswith(checksum):
            raise downloading.WrongChecksum(f"expected checksum to match {checksum}, got {commit}")

        def pieces() -> Iterable[Piece]:
            directory = session.root.sub("lamina", "run", session.new_id())
            os.makedirs(directory, 0o755)
            self._stack.callback(remove_tree, directory)
            repository.check_out(reference, commit, directory, keep_git_dir=keep)
            tree = Tree(directory, owned=False, shown=text)
            self._stack.callback(tree.close)
            found = tree.at(reference.directory)
            if not found.is_directory:
                raise NoSuchSource(f"{text}: {reference.directory} is not a directory")
            yield Piece(tree, found)

        where = f":{reference.directory}" if reference.directory else ""
        return Selection((f"git:{commit}{where}",), (reference.remote, keep), pieces)


def is_url(source: str) -> bool:
    return source.startswith(("http://", "https://"))


def proxies(arguments: Mapping[str, str]) -> dict[str, str]:
    """Build arguments that name proxies, as environment variables."""
    return {name: value for name, value in arguments.items() if name.lower().endswith("_proxy") and value}

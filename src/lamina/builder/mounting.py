"""``RUN --mount``: what a command sees that no layer gets."""

from __future__ import annotations

import os
import posixpath
import time
from collections.abc import Callable, Iterable, Mapping

from lamina.builder.job import StepMount
from lamina.builder.session import Session
from lamina.builder.stage import StageState, digest_of
from lamina.contextlib import ExitStack
from lamina.dockerfile import instructions as kinds
from lamina.dockerfile.expansion import expand
from lamina.dockerfile.mount import Mount, parse_mount
from lamina.errors import InvalidArgument, NotFound
from lamina.filelock import FileLock
from lamina.graphdriver.removal import remove_tree
from lamina.linux import files, openat2
from lamina.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lamina.builder.copies import FindPlace

_DEFAULT_AGENT = "default"
#: Where scripts of heredocs are mounted.
SCRIPTS = "/dev/pipes"
CACHES = "lamina/build-cache/mounts"
#: Seconds between two attempts to get a cache that another command has.
_PAUSE = 0.02


class Mounts:
    """The mounts of one ``RUN``; what they need is released by ``stack``."""

    def __init__(self, session: Session, place: FindPlace, stack: ExitStack, state: StageState) -> None:
        self._session = session
        self._place = place
        self._stack = stack
        self._state = state
        #: Variables that the mounts give the command.
        self.environment: dict[str, str] = {}
        #: What is ready.
        self.ready: tuple[StepMount, ...] = ()
        self._agents = 0
        # Directories of caches that nobody else may use meanwhile, by name: for this command they are there once.
        self._own_caches: dict[str, str] = {}

    def parse(self, text: str, variables: Mapping[str, str], escape: str) -> Mount:
        mount = parse_mount(text, lambda word: expand(word, variables, escape))
        if mount.type == "secret":
            name = mount.id or mount.source or posixpath.basename(mount.target)
            if not mount.target and mount.env is not None:
                return mount._replace(id=name, env=mount.env or name)
            mount = mount._replace(id=name, target=mount.target or f"/run/secrets/{posixpath.basename(name)}")
        elif mount.type == "ssh":
            mount = mount._replace(id=mount.id or _DEFAULT_AGENT, target=mount.target or self._agent_target())
        if not mount.target or "\0" in mount.target:
            raise InvalidArgument(f"RUN --mount={text}: invalid mount target")
        base = self._state.config.get("WorkingDir") or "/"
        target = "/" + os.path.normpath(os.path.join("/", base, mount.target)).lstrip("/")
        if target == "/":
            raise InvalidArgument(f'invalid mount target "{target}"')
        return mount._replace(target=target)

    def identity(self, mount: Mount) -> object:
        """What of a mount decides the command's result: for the cache key. Caches and secrets don't count."""
        facts = [mount.type, mount.target, mount.source, mount.read_only]
        if mount.type == "bind":
            return [*facts, self._content(mount)]
        if mount.type == "cache":
            content = self._content(mount) if mount.stage or mount.source else None
            return [*facts, mount.id, mount.mode, mount.uid, mount.gid, content]
        if mount.type == "ssh":
            return [*facts, mount.id]
        if mount.type == "secret":
            return [*facts, mount.id, mount.env]
        return [*facts, mount.size]

    def _content(self, mount: Mount) -> object:
        if mount.stage:
            place = self._place(mount.stage)
            if place.identity:
                return place.identity
            with place.opened() as tree:
                return [found.digest for found in tree.find(mount.source or ".")]
        return [found.digest for found in self._session.context().find(mount.source or ".")]

    def _agent_target(self) -> str:
        """Where an agent's socket is when nobody says: the first, the second, ..."""
        self._agents += 1
        return f"/run/buildkit/ssh_agent.{self._agents - 1}"

    def prepare(self, wanted: Iterable[Mount], script: tuple[str, str] | None = None) -> tuple[StepMount, ...]:
        """Make them ready, but for what need not be there.

        :param script: of a heredoc, file name and content, for which there is one more.
        :raises NotFound: a source is missing.
        :raises InvalidArgument: a required secret or agent is missing.
        """
        mounts = list(wanted)
        # In one order, or two commands of a build could wait for each other.
        for name in sorted({self._cache_name(mount) for mount in mounts if mount.sharing == "locked"}):
            self._lock_cache(name)
        ready = [made for mount in mounts if (made := _MAKERS[mount.type](self, mount)) is not None]
        self.ready = (*ready, *([self._script(*script)] if script is not None else ()))
        return self.ready

    def _script(self, name: str, content: str) -> StepMount:
        """The directory with the script of a heredoc."""
        directory = self._temporary()
        path = os.path.join(directory, os.path.basename(name))
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o755)
        with open(descriptor, "wb") as file:
            os.fchmod(descriptor, 0o755)
            os.fchown(descriptor, *self._owner(None, None))
            file.write(content.encode("utf-8", "surrogateescape"))
        return StepMount("bind", SCRIPTS, directory)

    def _temporary(self) -> str:
        """A directory that recovery removes if this process can't."""
        from shutil import rmtree

        path = self._session.root.sub("lamina", "run", self._session.new_id())
        self._stack.callback(rmtree, path, ignore_errors=True)
        os.makedirs(path, 0o755)
        self._session.root.let_through(path)
        return path

    def _owner(self, uid: int | None, gid: int | None) -> tuple[int, int]:
        """On the host, of what the command is to see as this user's and group's."""
        return self._session.root.owners.on_host(uid or 0, gid or 0)

    def _bind(self, mount: Mount) -> StepMount:
        if mount.stage:
            directory = self._stack.enter_context(self._place(mount.stage).directory())
        else:
            directory = self._session.context().path
        source = self._inside(directory, mount.source)
        if self._is_foreign(mount):
            source = self._own_copy(source)
        if mount.read_only:
            return StepMount("bind", mount.target, source)
        from lamina.builder import writable

        root = self._session.root
        # In a user namespace overlayfs does not read the marks of layers.
        overlay = root.driver_name == "overlay2" and not root.owners.are_mapped
        return writable.discarded(mount.target, source, self._temporary(), overlay=overlay)

    def _is_foreign(self, mount: Mount) -> bool:
        """Whether its source belongs to somebody on the host, who is nobody in containers."""
        if not self._session.root.owners.are_mapped:
            return False
        return not mount.stage or not self._place(mount.stage).identity

    def _own_copy(self, source: str) -> str:
        """A copy of something on the host that belongs to the containers' root, who could not read it there."""
        from lamina.builder import writable

        copy = f"{self._temporary()}/copy"
        writable.copied(source, copy, self._owner(None, None))
        return copy

    def _inside(self, directory: str, path: str) -> str:
        """Host path of ``path`` in a directory; no link leads out of it."""
        try:
            return openat2.path_in_root(directory, path or ".")
        except OSError as error:
            raise NotFound(f'mount source "{path}" not found: {error.strerror}') from error

    def _cache(self, mount: Mount) -> StepMount:
        name = self._cache_name(mount)
        if mount.sharing == "private" and name not in self._own_caches and not self._try_cache(name):
            self._own_caches[name] = self._temporary()
        directory = self._own_caches.get(name) or self._session.root.sub(CACHES, name)
        data = os.path.join(directory, "data")
        if not os.path.isdir(data):
            os.makedirs(directory, 0o700, exist_ok=True)
            self._fill_cache(mount, data)
        self._session.root.let_through(directory)
        os.utime(directory)
        return StepMount("bind", mount.target, data, read_only=mount.read_only)

    def _cache_name(self, mount: Mount) -> str:
        owned = (mount.mode, mount.uid, mount.gid)
        # Who made a cache decides who can use it: as BuildKit, another owner or mode is another cache.
        name = digest_of(mount.id or mount.target, *(owned if any(one is not None for one in owned) else ()))
        if mount.stage:
            name = digest_of(name, self._place(mount.stage).identity or mount.stage, mount.source)
        return name

    def _try_cache(self, name: str) -> bool:
        """Have a cache for this command alone; ``False`` when another has it."""
        lock = FileLock(self._session.root.sub("lamina/locks", f"build-cache-{name}"))
        if not lock.acquire(wait=False):
            return False
        self._stack.callback(lock.release)
        self._own_caches[name] = self._session.root.sub(CACHES, name)
        return True

    def _lock_cache(self, name: str) -> None:
        """The same, as soon as another has done with it. Raises ``Cancelled``."""
        while not self._try_cache(name):
            self._session.check()
            time.sleep(_PAUSE)

    def _tmpfs(self, mount: Mount) -> StepMount:
        size = f",size={mount.size}" if mount.size else ""
        return StepMount("tmpfs", mount.target, read_only=False, options=f"exec{size}")

    def _secret(self, mount: Mount) -> StepMount | None:
        content = self._session.request.secrets.get(mount.id)
        if content is None:
            if mount.required:
                raise InvalidArgument(f"secret {mount.id}: not found")
            return None
        if mount.env is not None:
            if b"\0" in content:
                raise InvalidArgument(f"secret {mount.id}: it can't be a variable: it has a zero byte")
            self.environment[mount.env or mount.id] = content.decode("utf-8", "surrogateescape")
            if not mount.target:
                return None
        path = f"{self._temporary()}/secret"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as file:
            os.fchmod(descriptor, mount.mode if mount.mode is not None else 0o400)
            os.fchown(descriptor, *self._owner(mount.uid, mount.gid))
            file.write(content)
        return StepMount("bind", mount.target, path)

    def _ssh(self, mount: Mount) -> StepMount | None:
        source = self._session.agent(mount.id)
        if source is None:
            if mount.required:
                raise InvalidArgument(f"unset ssh forward key {mount.id}: build with --ssh {mount.id}")
            return None
        from lamina.builder.agent import ForwardedAgent

        mode = mount.mode if mount.mode is not None else 0o600
        agent = ForwardedAgent(source, self._temporary(), mode=mode, owner=self._owner(mount.uid, mount.gid))
        self._stack.callback(agent.close)
        self.environment.setdefault("SSH_AUTH_SOCK", mount.target)
        return StepMount("bind", mount.target, agent.path)

    def _fill_cache(self, mount: Mount, data: str) -> None:
        """A new cache: empty, or what ``from`` and ``source`` name."""
        fresh = f"{data}.{os.urandom(8).hex()}"
        if mount.stage or mount.source:
            self._bind_source(mount, fresh)
        else:
            os.mkdir(fresh)
            os.chmod(fresh, 0o755)
        if mount.mode is not None:
            os.chmod(fresh, mount.mode)
        if mount.uid is not None or mount.gid is not None or not mount.stage:
            os.chown(fresh, *self._owner(mount.uid, mount.gid))
        try:
            # An empty directory would be replaced by rename(2), under the command that has it mounted already.
            files.renameat2(fresh, data, flags=files.RENAME_NOREPLACE)
        except OSError:  # another step or build was faster
            remove_tree(fresh)

    def _bind_source(self, mount: Mount, target: str) -> None:
        from lamina.builder import writable

        with ExitStack() as stack:
            if mount.stage:
                directory = stack.enter_context(self._place(mount.stage).directory())
            else:
                directory = self._session.context().path
            owner = self._owner(None, None) if self._is_foreign(mount) else None
            writable.copied(self._inside(directory, mount.source), target, owner)


_MAKERS: dict[str, Callable[[Mounts, Mount], StepMount | None]] = {
    "bind": Mounts._bind,
    "cache": Mounts._cache,
    "tmpfs": Mounts._tmpfs,
    "secret": Mounts._secret,
    "ssh": Mounts._ssh,
}


def chomped(heredoc: kinds.Heredoc) -> str:
    """Content without leading tabs where the heredoc says so."""
    if not heredoc.chomp:
        return heredoc.content
    return "".join(line.lstrip("\t") for line in heredoc.content.splitlines(keepends=True))


def is_only_heredoc(text: str) -> bool:
    """Whether a command is nothing but ``<<NAME``."""
    word = text.strip().lstrip("0123456789")
    return word.startswith("<<") and len(word.split()) == 1

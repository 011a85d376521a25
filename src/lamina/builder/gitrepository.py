"""Trees of git repositories, fetched by the ``git`` program and kept between builds.

``<root>/lamina/build-cache/git/<sha256 of the remote>`` is a bare repository with what was ever asked for, each commit
named by ``refs/kept/<commit>``. Git runs with an environment of its own: no configuration of the user or the system, no
hooks, no prompts, no protocol that reaches local files, for submodules neither (CVE-2022-39253).
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence

from lamina.builder.gitreference import GitReference
from lamina.builder.stored import REPOSITORIES
from lamina.builder.watch import Watch
from lamina.contextlib import contextmanager, suppress
from lamina.dataroot import DataRoot
from lamina.errors import NotFound, SystemFailure, Unsupported
from lamina.filelock import FileLock
from lamina.graphdriver.removal import remove_tree
from lamina.typing import NamedTuple

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PROTOCOLS = "http:https:git:ssh"
_SETTINGS = {
    "core.hooksPath": "/dev/null",
    "core.fsmonitor": "false",
    "core.protectHFS": "true",
    "core.protectNTFS": "true",
    "credential.helper": "",
    "gc.auto": "0",
    "advice.detachedHead": "false",
    "init.defaultBranch": "main",
    "protocol.allow": "never",
    "submodule.recurse": "false",
}
_LINE = re.compile(r"([0-9a-f]{40,64})\t(\S+)\Z")
_LAST_LINES = 10

#: Seconds between two looks whether somebody wants it all to end.
_PATIENCE = 0.2


class GitFailed(SystemFailure):
    """The program said so."""


class NoGit(Unsupported):
    """The program is not installed."""


class Access(NamedTuple):
    """How git reaches others.

    :ivar agent: path of an ssh agent's socket; ``""`` for none.
    :ivar proxies: ``http_proxy`` and the like, as environment.
    """

    agent: str = ""
    proxies: Mapping[str, str] = {}


class GitRepository:
    """What is kept of one remote. Usable while its lock is held, see :func:`opened`."""

    def __init__(self, path: str, remote: str, access: Access, watch: Watch) -> None:
        self._path = path
        self._remote = remote
        self._access = access
        self._watch = watch

    def commit(self, reference: GitReference) -> str:
        """The commit that ``reference`` means, asked of the remote unless it is one.

        :raises NotFound: the remote has nothing of that name.
        """
        if reference.is_commit:
            return reference.ref
        wanted = reference.ref or "HEAD"
        said = self._git("ls-remote", "--", self._remote, wanted, f"{wanted}^{{}}")
        found = {match[2]: match[1] for line in said.splitlines() if (match := _LINE.match(line))}
        for name in (wanted, f"refs/heads/{wanted}", f"refs/tags/{wanted}^{{}}", f"refs/tags/{wanted}"):
            if name in found:
                return found.get(f"{name}^{{}}", found[name])
        self._fetch_everything()
        try:
            return self._git(self._here, "rev-parse", "--verify", f"{wanted}^{{commit}}").strip()
        except GitFailed:
            raise NotFound(f"repository does not contain ref {wanted}") from None

    def check_out(self, reference: GitReference, commit: str, directory: str, *, keep_git_dir: bool) -> None:
        """Put the commit's files, submodules included, into an empty directory, their times those of the commit."""
        self._fetch(reference, commit)
        self._git("init", "--quiet", "--template=", "--", directory)
        self._git(directory, "remote", "add", "--", "origin", self._remote)
        name = f"refs/kept/{commit}"
        # The one repository on this machine that is read is the one above.
        self._git(directory, "fetch", "--quiet", "--no-tags", "--depth=1", "--", self._path, name, protocols="file")
        self._git(directory, "checkout", "--quiet", "--force", "--detach", commit, "--")
        if os.path.lexists(f"{directory}/.gitmodules"):
            self._git(directory, "submodule", "--quiet", "update", "--init", "--recursive", "--depth=1")
        seconds = int(self._git(directory, "log", "-1", "--format=%ct", commit, "--"))
        if not keep_git_dir:
            _remove_git(directory)
        _set_times(directory, seconds)

    def _fetch(self, reference: GitReference, commit: str) -> None:
        """Have the commit here, alone where the server can do that."""
        name = f"refs/kept/{commit}"
        with suppress(GitFailed):
            self._git(self._here, "rev-parse", "--quiet", "--verify", f"{name}^{{commit}}")
            return
        for wanted in dict.fromkeys((commit, reference.ref or "HEAD")):
            with suppress(GitFailed):
                self._git(
                    self._here, "fetch", "--quiet", "--no-tags", "--depth=1", "--", self._remote, f"+{wanted}:{name}"
                )
                if self._git(self._here, "rev-parse", f"{name}^{{commit}}").strip() == commit:
                    return
        self._fetch_everything()
        try:
            self._git(self._here, "update-ref", name, commit)
        except GitFailed:
            raise NotFound(f"repository does not contain ref {reference.ref}") from None

    def _fetch_everything(self) -> None:
        shallow = ["--unshallow"] if os.path.exists(f"{self._path}/shallow") else []
        refs = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")
        self._git(self._here, "fetch", "--quiet", "--no-tags", *shallow, "--", self._remote, *refs)

    @property
    def _here(self) -> str:
        """The repository's path, made when it is missing."""
        if not os.path.exists(f"{self._path}/HEAD"):
            self._git("init", "--quiet", "--bare", "--template=", "--", self._path)
        return self._path

    def _git(self, *words: str, protocols: str = _PROTOCOLS) -> str:
        """Run it: in the directory that the first word is, when that is a path; what it printed."""
        directory = words[0] if words[0].startswith("/") else "/"
        command = words[1:] if words[0].startswith("/") else words
        return run(command, directory, environment(self._access, protocols), self._watch)


@contextmanager
def opened(root: DataRoot, remote: str, access: Access, watch: Watch) -> Iterator[GitRepository]:
    """The repository that is kept of ``remote``, for this process alone."""
    name = hashlib.sha256(remote.encode("utf-8", "surrogateescape")).hexdigest()
    path = root.sub(REPOSITORIES, name)
    lock = FileLock(root.sub("lamina/locks", f"build-cache-{name}"))
    lock.acquire()
    try:
        os.makedirs(path, 0o700, exist_ok=True)
        os.utime(path)
        yield GitRepository(path, remote, access, watch)
    finally:
        lock.release()


def environment(access: Access, protocols: str) -> dict[str, str]:
    """All that git sees of the world."""
    ssh = "ssh -F /dev/null -o BatchMode=yes"
    found = {
        "PATH": _PATH,
        "HOME": "/nonexistent",
        "LC_ALL": "C.UTF-8",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "/bin/false",
        "SSH_ASKPASS": "/bin/false",
        "GIT_SSH_COMMAND": ssh if access.agent else f"{ssh} -o IdentityAgent=none",
        "GIT_ALLOW_PROTOCOL": protocols,
        "GIT_LFS_SKIP_SMUDGE": "1",
        **access.proxies,
    }
    if access.agent:
        found["SSH_AUTH_SOCK"] = access.agent
    found["GIT_CONFIG_COUNT"] = str(len(_SETTINGS))
    for number, (name, value) in enumerate(_SETTINGS.items()):
        found[f"GIT_CONFIG_KEY_{number}"], found[f"GIT_CONFIG_VALUE_{number}"] = name, value
    return found


def run(words: Sequence[str], directory: str, variables: Mapping[str, str], watch: Watch) -> str:
    """Run git; what it printed.

    :raises GitFailed: it failed; the message is git's. ``Unsupported`` when there is no git.
    """
    from subprocess import DEVNULL, PIPE, Popen, TimeoutExpired

    command = ["git", *words]
    try:
        process = Popen(  # waited for, or killed, by the block below
            command, cwd=directory, env=dict(variables), stdin=DEVNULL, stdout=PIPE, stderr=PIPE, start_new_session=True
        )
    except FileNotFoundError as error:
        raise NoGit("unable to find 'git': executable file not found in $PATH") from error
    with process:
        try:
            while True:
                try:
                    output, errors = process.communicate(timeout=_PATIENCE)
                    break
                except TimeoutExpired:
                    watch.check()
        except BaseException:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, 9)  # its own session: also what it started
            raise
    if process.returncode:
        said = b"\n".join(errors.strip().splitlines()[-_LAST_LINES:]).decode("utf-8", "replace")
        raise GitFailed(f"git {words[0]}: {said or f'exit status {process.returncode}'}")
    if errors:
        watch.show(errors)
    return output.decode("utf-8", "surrogateescape")


def _remove_git(directory: str) -> None:
    """Remove git's own files: the repository and, below, what submodules have of it."""
    for path, directories, files in os.walk(directory):
        if ".git" in directories:
            remove_tree(f"{path}/.git")
            directories.remove(".git")
        if ".git" in files:
            os.unlink(f"{path}/.git")


def _set_times(directory: str, seconds: int) -> None:
    for path, directories, files in os.walk(directory, topdown=False):
        for name in (*directories, *files):
            os.utime(f"{path}/{name}", (seconds, seconds), follow_symlinks=False)
    os.utime(directory, (seconds, seconds))

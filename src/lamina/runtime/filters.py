"""Seccomp filters, decided and compiled once.

crun compiles ``linux.seccomp`` at every start, which takes longer than anything else it does. It also takes a compiled
program by annotation (``run.oci.seccomp_bpf_data``, base64); other runtimes ignore that and go by ``linux.seccomp``,
which stays in the document. The program is the policy, so a kept one counts only when it is this user's own file that
nobody else may write, and names the digest of its content.
"""

import os
import stat
from binascii import b2a_base64
from collections.abc import Callable

from lamina import atomicfile, json
from lamina.digest import Digest
from lamina.runtime.seccomp import DEFAULT_PROFILE, default_profile, encode
from lamina.typing import NamedTuple

#: What crun calls the annotation (its manual page, section "Extensions to OCI").
ANNOTATION = "run.oci.seccomp_bpf_data"
#: Changes when the same inputs give another result.
_FORM = "2"
_LIMIT = 1 << 20


class Filter(NamedTuple):
    """A filter in both forms.

    :ivar profile: JSON text of ``linux.seccomp``.
    :ivar program: the compiled program in base64; ``""`` when it can't be compiled here.
    """

    profile: bytes
    program: str


def default_filter(capabilities: tuple[str, ...], directory: str | None, path: str = DEFAULT_PROFILE) -> Filter:
    """The filter of a container with ``capabilities``.

    :param directory: where compiled filters are kept; ``None``: nothing is compiled.
    :raises ProfileUnavailable: the profile is missing or malformed.
    """
    if directory is None:
        return Filter(default_profile(capabilities, path), "")
    return _cached(directory, _key(capabilities, path), lambda: default_profile(capabilities, path))


def custom_filter(text: bytes, capabilities: tuple[str, ...], directory: str | None) -> Filter:
    """The filter of a profile that the user gives: JSON ``text`` in Docker's format. The rest is as above."""
    if directory is None:
        return Filter(encode(text, capabilities, "the custom profile"), "")
    # A digest, and no path: no file has that name.
    key = _key(capabilities, f"custom {Digest.of(text)}")
    return _cached(directory, key, lambda: encode(text, capabilities, "the custom profile"))


def _cached(directory: str, key: str, make: Callable[[], bytes]) -> Filter:
    kept = os.path.join(directory, f"seccomp-{key}")
    found = _read(kept)
    if found is None:
        found = _compiled(make())
        _keep(kept, found)
    return found


def _key(capabilities: tuple[str, ...], path: str) -> str:
    """What the result depends on. A package that is upgraded replaces its files."""
    machine = os.uname()
    parts = [_FORM, machine.machine, machine.release, path, *capabilities]
    for file in (path, "/etc/ld.so.cache"):  # the latter changes with the version of libseccomp
        try:
            status = os.stat(file)
        except OSError:
            continue
        parts.append(f"{status.st_ino}.{status.st_size}.{status.st_mtime_ns}")
    return Digest.of("\n".join(parts).encode()).hex[:32]


def _compiled(profile: bytes) -> Filter:
    from lamina.linux.seccomp import NotCompilable, compile_profile

    try:
        program = b2a_base64(compile_profile(json.loads(profile)), newline=False).decode()
    except NotCompilable:
        program = ""
    return Filter(profile, program)


def _read(path: str) -> Filter | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        status = os.fstat(descriptor)
        if status.st_uid != os.geteuid() or stat.S_IMODE(status.st_mode) & 0o077 or status.st_size > _LIMIT:
            return None
        content = os.read(descriptor, _LIMIT)
    finally:
        os.close(descriptor)
    digest, _, text = content.partition(b"\n")
    if Digest.of(text).encode() != digest:
        return None
    profile, _, program = text.partition(b"\n")
    return Filter(profile, program.decode())


def _keep(path: str, compiled: Filter) -> None:
    text = b"%s\n%s" % (compiled.profile, compiled.program.encode())
    content = b"%s\n%s" % (Digest.of(text).encode(), text)
    try:
        atomicfile.write(path, content, sync=False)
    except OSError:
        return  # a full or read-only file system: it is only compiled again

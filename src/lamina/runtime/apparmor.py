"""AppArmor profiles of containers: which one, whether the kernel has it, and Docker's default one.

Needed only where the kernel has AppArmor, of which :func:`lamina.linux.process.has_apparmor` tells. Names, choices and
messages are those of Docker 20.10 (``daemon/apparmor_default.go``); the kernel's files are described in its
``Documentation/admin-guide/LSM/apparmor.rst`` and the language in ``apparmor.d(5)``.
"""

from __future__ import annotations

import os

from lamina.errors import SystemFailure
from lamina.linux import process, userns
from lamina.runtime.program import NOT_FOUND, SEARCH, RuntimeFailed

#: Docker's name: containers, scripts and a dockerd on the same host know it, and whoever is first loads it.
DEFAULT = "docker-default"
UNCONFINED = "unconfined"
#: One loaded profile a line: ``name (mode)``.
LOADED = "/sys/kernel/security/apparmor/profiles"
#: Label of the reading process: ``unconfined``, or ``name (mode)``.
OWN_LABEL = "/proc/self/attr/current"
_PARSER = "apparmor_parser"
_PARSER_SECONDS = 60.0

# A container's root may do with files, sockets and capabilities what its capabilities, its mounts and the filter of
# system calls leave to it; what AppArmor adds holds although one of those is undone (CAP_SYS_ADMIN, a second mount of
# proc). Only patterns without "not followed by" exist: what may stay is cut out letter by letter. Rules with "deny"
# win over all others.
_PROFILE = """\
profile {name} flags=(attach_disconnected, mediate_deleted) {{
  file,
  network,
  capability,
  umount,
  deny mount,

  # The host's processes and who starts, stops and enters containers; the container's own among themselves.
  signal (receive) peer=unconfined,
  signal (receive) peer=crun,
  signal (receive) peer=runc,
{engine}  signal (send, receive) peer={name},
  ptrace (read, readby, trace, tracedby) peer={name},

  # In /proc a process writes to the files of processes only, and to /proc/sys/kernel/shm*.
  deny /proc/{{[^0-9]*,[^0-9s]*/**,s[^y]*/**,sy[^s]*/**,sys[^/]*/**}} w,
  deny /proc/sys/{{[^k],k[^e],kernel/[^s],kernel/s[^h],kernel/sh[^m]}}** w,
  deny /proc/{{kcore,sysrq-trigger}} rwklx,

  # In /sys to control groups only; the firmware and the kernel's security modules are not read either.
  deny /sys/{{[^f],f[^s],fs/[^c],fs/c[^g],fs/cg[^r]}}** wklx,
  deny /sys/{{firmware,kernel/security}}/** rwklx,
}}
"""


class ProfileNotLoadable(SystemFailure):
    """The kernel has AppArmor, and Docker's default profile can't be put into it."""


def choose(wanted: str, *, privileged: bool) -> str:
    """Name of the profile that a container is to have, which is loaded then; ``""`` for none.

    :param wanted: the name after ``apparmor=``; ``""`` without.
    :raises RuntimeFailed: no such profile is loaded, with Docker's message.
    :raises ProfileNotLoadable: the default one can't be.
    """
    if not wanted and not privileged and not can_have_default():
        return ""
    name = wanted or (UNCONFINED if privileged else DEFAULT)
    if ensure(name):
        return name
    raise RuntimeFailed(
        f"failed to create shim task: OCI runtime create failed: {not_loaded(name)}: unknown", NOT_FOUND
    )


def can_have_default() -> bool:
    """Whether Docker's default profile is loaded or can be. Docker 23 does without where it can't, 20.10 fails."""
    return bool(_parser()) or is_loaded(DEFAULT)


def ensure(name: str) -> bool:
    """Whether a profile is loaded, as far as that can be told; the default one is loaded where it can be.

    It may have gone: restarting the host's AppArmor service unloads what is not in ``/etc/apparmor.d``.

    :raises ProfileNotLoadable: it can't be.
    """
    if name == UNCONFINED or name.startswith((":", "&")):  # of another policy namespace, or a stack
        return True
    if is_loaded(name):
        return True
    if name != DEFAULT or not _parser():
        return False
    _load_default()
    return True


def not_loaded(name: str) -> str:
    """Why a program was not executed: Docker's words and the name. The runtime's would be taken for a missing file."""
    return (
        "unable to start container process: error during container init: unable to apply apparmor profile: apparmor "
        f"failed to apply profile: write /proc/self/attr/apparmor/exec: no such file or directory: the profile {name} "
        "is not loaded"
    )


def is_loaded(name: str) -> bool:
    """Whether the kernel has a profile of that name.

    :raises ProfileNotLoadable: the kernel does not tell.
    """
    try:
        with open(LOADED, encoding="utf-8", errors="surrogateescape") as file:
            return any(line.rpartition(" (")[0] == name for line in file)
    except OSError as error:
        reason = (error.strerror or "").lower()
        raise ProfileNotLoadable(
            f"Could not check if {name} AppArmor profile was loaded: open {LOADED}: {reason}"
        ) from error


def default_profile() -> str:
    """Text of the default profile, for ``apparmor_parser``.

    It lets this process, which may be confined itself, signal the container.
    """
    try:
        with open(OWN_LABEL, encoding="utf-8", errors="surrogateescape") as file:
            own = file.read().strip().rpartition(" (")[0]
    except OSError:
        own = ""
    engine = f'  signal (receive) peer="{own}",\n' if own and '"' not in own else ""
    return _PROFILE.format(name=DEFAULT, engine=engine)


def information() -> tuple[bool, list[str]]:
    """Whether containers can be confined here, for ``info``, and warnings for the user."""
    if not process.has_apparmor() or not userns.is_initial():
        return False, []
    try:
        if can_have_default():
            return True, []
    except ProfileNotLoadable as error:
        return False, [f"WARNING: {error}"]
    return True, [f"WARNING: AppArmor is on, but {_PARSER} is not installed: containers start without {DEFAULT}"]


def _parser() -> str:
    """Path of the program that compiles and loads profiles; ``""`` without."""
    for directory in SEARCH:
        path = os.path.join(directory, _PARSER)
        if os.access(path, os.X_OK):
            return path
    return ""


def _load_default() -> None:
    import subprocess  # slow to import, and done once after the host has booted

    command = [_parser(), "-Kr"]
    try:
        done = subprocess.run(
            command,
            input=default_profile().encode("utf-8", "surrogateescape"),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_PARSER_SECONDS,
            check=False,
        )
        failed, output = done.returncode != 0, done.stdout.decode(errors="replace").strip()
    except (OSError, subprocess.TimeoutExpired) as error:
        failed, output = True, str(error)
    if failed:
        raise ProfileNotLoadable(
            f"AppArmor enabled on system but the {DEFAULT} profile could not be loaded: "
            f"running `{' '.join(command)}` failed with output: {output}"
        )

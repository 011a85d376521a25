"""Running shell scripts as an ordinary user, in a mount namespace in which that user can reach what it needs."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import lamina

#: ``nobody`` of Debian, in a group of the same number.
_USER = 65534


class OrdinaryUser:
    """A user without rights, whose own ``home`` is."""

    def __init__(self, home: str, *, subordinate: int = 0) -> None:
        """``home``: a directory that everybody can get to. Needs root.

        :param subordinate: the first of 65536 subordinate ids that the user has; without it none are given.
        """
        self.home = home
        self._mounts = [_DEVICE.format(name="fuse", number="10 229")]
        if subordinate:
            self._mounts += [_subordinate_ids(subordinate), _DEVICE.format(name="net/tun", number="10 200")]
        os.chown(home, _USER, _USER)

    def run(self, script: str) -> subprocess.CompletedProcess[str]:
        """Run a script with ``home`` as the working directory; what it mounts ends with it."""
        needed = [Path(sys.executable), Path(os.path.realpath(sys.executable)), Path(lamina.__file__)]
        user = ["setpriv", f"--reuid={_USER}", f"--regid={_USER}", "--clear-groups", "sh", "-euc", script]
        lines = [*(_opened(path) for path in _unreachable(needed)), *self._mounts]
        lines.append(f"cd {shlex.quote(self.home)}; exec {shlex.join(user)}")
        return subprocess.run(
            ["unshare", "--mount", "--propagation", "private", "sh", "-euc", "\n".join(lines)],
            cwd="/",
            env={
                "PATH": f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}",
                "HOME": self.home,
                "XDG_RUNTIME_DIR": f"{self.home}/run",
            },
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def must(self, script: str) -> str:
        """Run a script that has to succeed; its output."""
        done = self.run(script)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


#: A device as udev makes it: a bare container or machine may have it for root only.
_DEVICE = """
own=$(mktemp -d)
mount -t tmpfs tmpfs "$own"
mknod -m 666 "$own/device" c {number}
test ! -e /dev/{name} || mount --bind "$own/device" /dev/{name}
umount -l "$own"
rmdir "$own"
"""


def _subordinate_ids(first: int) -> str:
    """Commands that give the user ids in this mount namespace only."""
    return f"""
own=$(mktemp -d)
mount -t tmpfs tmpfs "$own"
echo "{_USER}:{first}:65536" > "$own/ids"
for file in /etc/subuid /etc/subgid; do mount --bind "$own/ids" $file; done
umount -l "$own"
rmdir "$own"
"""


def _unreachable(paths: list[Path]) -> list[Path]:
    """Directories above ``paths`` that not everybody may pass, the outermost first."""
    above = {parent for path in paths for parent in path.parents if not parent.stat().st_mode & 0o001}
    return sorted(above, key=lambda path: len(path.parts))


def _opened(directory: Path) -> str:
    """Commands that let everybody pass ``directory``, in this mount namespace only."""
    quoted = shlex.quote(str(directory))
    return f"""
own=$(mktemp -d)
mount -t tmpfs tmpfs "$own"
mkdir "$own/lower" "$own/upper" "$own/work"
mount --rbind {quoted} "$own/lower"
mount -t overlay overlay -o "lowerdir=$own/lower,upperdir=$own/upper,workdir=$own/work" {quoted}
chmod 0711 {quoted}
umount -l "$own"
rmdir "$own"
"""

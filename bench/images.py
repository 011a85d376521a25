"""The two images that the benchmarks move, made from Debian packages without lamina.

The large one is what a developer's tool image looks like: seven layers, the first a minimal Debian, each of the others
one ``apt-get install``. mmdebstrap makes the base, buildah the layers; both are cached as OCI layouts (gzip layers),
so that a second run begins at once. The small one is busybox alone.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import NamedTuple

MIRROR = "http://deb.debian.org/debian"
SUITE = "bookworm"
#: 2025-01-01: every timestamp that we choose ourselves.
EPOCH = "1735689600"
LARGE = "bench/toolbox:latest"
SMALL = "bench/busybox:latest"

#: What each layer above the base installs.
LAYERS = (
    ("ca-certificates", "curl", "git", "openssh-client", "less", "vim", "locales", "procps", "rsync", "unzip", "perl"),
    ("build-essential", "cmake", "pkg-config", "autoconf", "automake", "libtool", "libssl-dev", "libicu-dev"),
    ("python3", "python3-dev", "python3-pip", "python3-venv", "python3-numpy", "python3-scipy", "python3-pandas"),
    ("nodejs", "npm", "node-typescript", "webpack"),
    ("golang", "golang-golang-x-tools"),
    ("clang", "rustc", "cargo"),
)


class LocalImage(NamedTuple):
    """An image in an OCI layout: ``layout`` is its directory, ``name`` what the registry will call it."""

    name: str
    layout: str


def _run(*command: str) -> None:
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def _output(*command: str) -> str:
    return subprocess.run(
        command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    ).stdout.strip()


class _Builder:
    """buildah with its storage below ``directory``."""

    def __init__(self, directory: str) -> None:
        self._buildah = (
            "buildah", "--root", f"{directory}/storage", "--runroot", f"{directory}/run", "--storage-driver", "overlay",
        )  # fmt: skip

    def layer_from_tar(self, tar: str, tag: str) -> None:
        container = _output(*self._buildah, "from", "scratch")
        _run(*self._buildah, "add", container, tar, "/")
        _run(*self._buildah, "config", "--cmd", "/bin/sh", container)
        self._commit(container, tag)

    def layer_from_packages(self, packages: tuple[str, ...], parent: str, tag: str) -> None:
        container = _output(*self._buildah, "from", "--pull-never", parent)
        install = (
            "export DEBIAN_FRONTEND=noninteractive && apt-get update -q && "
            f"apt-get install -q -y --no-install-recommends {' '.join(packages)} && "
            "apt-get clean && rm -rf /var/lib/apt/lists/* /var/log/*.log /var/log/apt /var/cache/ldconfig/aux-cache"
        )
        _run(*self._buildah, "run", "--isolation", "chroot", container, "--", "sh", "-c", install)
        self._commit(container, tag)

    def _commit(self, container: str, tag: str) -> None:
        _run(*self._buildah, "commit", "--rm", "--timestamp", EPOCH, "--format", "oci", container, tag)

    def export(self, tag: str, layout: str) -> None:
        _run(*self._buildah, "push", "--compression-format", "gzip", tag, f"oci:{layout}:latest")


def large(cache: str) -> LocalImage:
    """The large image, built below ``cache`` unless it is there already (some minutes, needs a Debian mirror)."""
    layout = os.path.join(cache, "large")
    if os.path.exists(os.path.join(layout, "index.json")):
        return LocalImage(LARGE, layout)
    work = os.path.join(cache, "build")
    shutil.rmtree(work, ignore_errors=True)
    os.makedirs(work)
    base = os.path.join(work, "base.tar")
    # no user name spaces: the benchmark runs as root anyway
    os.environ["SOURCE_DATE_EPOCH"] = EPOCH
    _run("mmdebstrap", "--mode=root", "--variant=apt", "--include=ca-certificates", SUITE, base, MIRROR)
    builder = _Builder(work)
    builder.layer_from_tar(base, "localhost/stage:0")
    for number, packages in enumerate(LAYERS):
        builder.layer_from_packages(packages, f"localhost/stage:{number}", f"localhost/stage:{number + 1}")
    builder.export(f"localhost/stage:{len(LAYERS)}", layout + ".partial")
    os.rename(layout + ".partial", layout)
    shutil.rmtree(work)
    return LocalImage(LARGE, layout)


def small(cache: str) -> LocalImage:
    """busybox-static with a link for each of its commands: one layer of about 2 MB."""
    layout = os.path.join(cache, "small")
    if os.path.exists(os.path.join(layout, "index.json")):
        return LocalImage(SMALL, layout)
    work = os.path.join(cache, "build-small")
    shutil.rmtree(work, ignore_errors=True)
    root = os.path.join(work, "root")
    for directory in ("bin", "etc", "tmp", "root", "proc", "sys", "dev"):
        os.makedirs(os.path.join(root, directory))
    shutil.copy("/usr/bin/busybox" if os.path.exists("/usr/bin/busybox") else "/bin/busybox", f"{root}/bin/busybox")
    for applet in _output(f"{root}/bin/busybox", "--list").split():
        if applet != "busybox":
            os.symlink("busybox", f"{root}/bin/{applet}")
    tar = os.path.join(work, "root.tar")
    _run(
        "tar", "--sort=name", "--owner=0", "--group=0", "--numeric-owner", f"--mtime=@{EPOCH}", "-C", root, "-cf", tar,
        ".",
    )  # fmt: skip
    builder = _Builder(work)
    builder.layer_from_tar(tar, "localhost/small:latest")
    builder.export("localhost/small:latest", layout + ".partial")
    os.rename(layout + ".partial", layout)
    shutil.rmtree(work)
    return LocalImage(SMALL, layout)

"""What the demo's image is made of: a Debian root file system, a repository of nginx's packages, a build context.

Packages come through this machine's own apt configuration: its repositories, its proxy. The result is kept in a cache
folder, so that only the first run downloads.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterable

#: Left out of the root file system, as Debian's own small images do.
_EXCLUDED = ("/usr/share/doc/*", "/usr/share/info/*", "/usr/share/locale/*", "/usr/share/man/*")

#: Fetches nginx and what it needs into the finished root file system's apt cache, then moves it out.
_HOOK = """
set -e
mkdir -p "$1/var/cache/apt/archives/partial"
APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" apt-get --yes --no-install-recommends --download-only \
    -o DPkg::Pre-Install-Pkgs::= install nginx
mv "$1"/var/cache/apt/archives/*.deb "$PACKAGES/"
"""


#: Where the files of the build context are.
_CONTEXT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "nginx")


class MaterialError(Exception):
    """The root file system or the packages cannot be had."""


def base_of(cache: str) -> str:
    """Path of the root file system's tar in the cache, whether it is there yet or not."""
    return os.path.join(cache, "debian.tar")


def base_and_packages(cache: str) -> tuple[str, str]:
    """Paths of the root file system's tar and of a repository of packages; made in ``cache`` when not there yet."""
    base, packages = base_of(cache), os.path.join(cache, "packages")
    if os.path.exists(base):
        return base, packages
    if shutil.which("mmdebstrap") is None:
        raise MaterialError("mmdebstrap is not installed; run: apt-get install mmdebstrap")
    shutil.rmtree(cache, ignore_errors=True)
    os.makedirs(packages)
    sources = os.path.join(cache, "sources.list")
    with open(sources, "w") as file:
        file.writelines(f"{line}\n" for line in _repositories())
    options = [f"--dpkgopt=path-exclude={pattern}" for pattern in _EXCLUDED]
    options += [f"--aptopt={line}" for line in _proxies()]
    command = ["mmdebstrap", "--mode=root", "--variant=apt", "--format=tar", *options]
    command += [f"--customize-hook={_HOOK}", _codename(), f"{base}.partial", sources]
    done = subprocess.run(
        command, env={**os.environ, "PACKAGES": packages}, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise MaterialError(f"mmdebstrap failed:\n{done.stdout[-1500:]}{done.stderr[-1500:]}")
    _write_index(packages)
    os.rename(f"{base}.partial", base)
    return base, packages


def _write_index(directory: str) -> None:
    """Make a folder of packages one that apt takes for a repository at ``/packages``."""
    with open(os.path.join(directory, "Packages"), "w") as index:
        for name in _package_files(directory):
            path = os.path.join(directory, name)
            fields = subprocess.run(["dpkg-deb", "--field", path], capture_output=True, text=True, check=True).stdout
            with open(path, "rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            index.write(f"{fields}Filename: ./{name}\nSize: {os.path.getsize(path)}\nSHA256: {digest}\n\n")
    with open(os.path.join(directory, "sources.list"), "w") as file:
        file.write("deb [trusted=yes] file:/packages ./\n")


def _package_files(directory: str) -> list[str]:
    return sorted(name for name in os.listdir(directory) if name.endswith(".deb"))


def _codename() -> str:
    with open("/etc/os-release") as release:
        fields = dict(line.rstrip("\n").split("=", 1) for line in release if "=" in line)
    return fields["VERSION_CODENAME"].strip('"')


def _repositories() -> list[str]:
    """This machine's repositories of its own distribution as lines of a ``sources.list``."""
    lines = set()
    for origin in ("Debian", "Ubuntu"):
        form = "deb $(REPO_URI) $(RELEASE) $(COMPONENT)"
        lines |= set(
            _lines_of("apt-get", "indextargets", "--format", form, "Created-By: Packages", f"Origin: {origin}")
        )
    if not lines:
        raise MaterialError("apt knows no repository of Debian or Ubuntu; run: apt-get update")
    return sorted(lines)


def _proxies() -> list[str]:
    """apt options that name a proxy."""
    return [line for line in _lines_of("apt-config", "dump") if line.startswith("Acquire::") and "::Proxy" in line]


def _lines_of(*command: str) -> Iterable[str]:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def write_context(directory: str, packages: str, port: int) -> None:
    """Write the build context: the Dockerfile, nginx's configuration (one process, loopback only), a page."""
    shutil.copytree(_CONTEXT, directory)
    version = next(name.split("_")[1] for name in _package_files(packages) if name.startswith("nginx_"))
    for name in os.listdir(directory):
        path = os.path.join(directory, name)
        with open(path) as file:
            text = file.read()
        with open(path, "w") as file:
            file.write(text.replace("@PORT@", str(port)).replace("@VERSION@", version.replace("%3a", ":")))

"""What the demo's image is made of: a Debian root file system, nginx's packages, a configuration and a page.

Packages come through this machine's own apt configuration: its repositories, its proxy. The result is kept in a cache
folder, so that only the first run downloads.
"""

from __future__ import annotations

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


class MaterialError(Exception):
    """The root file system or the packages cannot be had."""


def base_and_packages(cache: str) -> tuple[str, str]:
    """Paths of the root file system's tar and of a folder of ``.deb`` files; made in ``cache`` when not there yet."""
    base, packages = os.path.join(cache, "base.tar"), os.path.join(cache, "packages")
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
    command = ["mmdebstrap", "--mode=root", "--variant=essential", "--format=tar", *options]
    command += [f"--customize-hook={_HOOK}", _codename(), f"{base}.partial", sources]
    done = subprocess.run(
        command, env={**os.environ, "PACKAGES": packages}, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise MaterialError(f"mmdebstrap failed:\n{done.stdout[-1500:]}{done.stderr[-1500:]}")
    os.rename(f"{base}.partial", base)
    return base, packages


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


def write_settings(directory: str, port: int) -> None:
    """Write ``nginx.conf`` (one process, loopback only, logs to the standard streams) and ``index.html``."""
    os.makedirs(directory)
    with open(os.path.join(directory, "nginx.conf"), "w") as file:
        file.write(_NGINX_CONF.replace("PORT", str(port)))
    with open(os.path.join(directory, "index.html"), "w") as file:
        file.write("<h1>Served from a stack of layers</h1>\n")


_NGINX_CONF = """\
user www-data;
worker_processes 1;
pid /run/nginx.pid;
error_log /dev/stderr;
events { worker_connections 64; }
http {
    include mime.types;
    access_log /dev/stdout;
    server { listen 127.0.0.1:PORT; root /var/www/html; }
}
"""

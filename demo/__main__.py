"""``make demo``: exit 0 when every check held, 1 at the first that did not."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile

from demo.material import MaterialError
from demo.stage import CheckError, Stage
from demo.story import Story
from support import leaks, mounts, programs
from support.registry import Registry

_CACHE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), ".cache", "demo")


def main() -> int:
    """Tell the story in a folder of its own."""
    parser = argparse.ArgumentParser(prog="make demo", description="The life of an nginx image, every step checked.")
    parser.add_argument("--keep", action="store_true", help="leave the demo's folder where it is")
    keep = parser.parse_args().keep
    if reason := _why_not():
        print(f"demo: {reason}", file=sys.stderr)
        return 1
    leaks.mark_session()
    directory = tempfile.mkdtemp(prefix="lamina-demo-")
    registry = Registry(os.path.join(directory, "registry"))
    stage = Stage(os.path.join(directory, "root"), os.path.join(directory, "docker-config"))
    try:
        print(f"Everything happens below {directory} (LAMINA_ROOT={stage.root}).")
        registry.start()
        Story(stage, registry, os.path.join(directory), _CACHE).tell()
    except (CheckError, MaterialError, AssertionError) as error:
        print(f"\nDEMO FAILED: {error}", file=sys.stderr)
        return 1
    finally:
        _clean_up(stage, registry, None if keep else directory)
    print(f"\nAll {stage.checks} checks held." + (f" Kept: {directory}" if keep else ""))
    return 0


def _why_not() -> str | None:
    if reason := programs.why_no_root():
        return f"{reason} (it mounts overlay file systems and starts containers)"
    if programs.find("docker-registry") is None:
        return "docker-registry is not installed; run: apt-get install docker-registry"
    if programs.find("crun") is None and programs.find("runc") is None:
        return "neither crun nor runc is installed; run: apt-get install crun"
    return None


def _clean_up(stage: Stage, registry: Registry, directory: str | None) -> None:
    left = stage.run("ps", "--all", "--quiet").stdout.split()
    if left:
        stage.run("rm", "--force", *left)
    registry.stop()
    if directory is not None:
        mounts.unmount_all(directory)
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())

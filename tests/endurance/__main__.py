"""``make endurance``: exit 0 when nothing was left and nothing grew, 1 with what did."""

from __future__ import annotations

import argparse
import os
import random
import sys

from endurance import place
from endurance.course import Course, Failed, Task
from support import images, programs

_NEEDED = ("crun", "nft", "unshare")


def main() -> int:
    options = _options()
    if not place.is_inside():
        if reason := _why_not():
            print(f"endurance: {reason}", file=sys.stderr)
            return 1
        fixed = ["--seed", str(options.seed), "--work", options.work]
        return place.enter(["-m", "endurance", *sys.argv[1:], *fixed], options.work)
    place.arrange(options.work)
    try:
        Course(Task(options.work, options.containers, options.kills, options.seed), print_flushed).run()
    except (Failed, AssertionError) as error:
        print_flushed(f"endurance, seed {options.seed}: {error}")
        return 1
    return 0


def print_flushed(line: str) -> None:
    print(line, flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m endurance", description=__doc__)
    parser.add_argument("--containers", type=int, default=1000, help="how many short ones in a row (default 1000)")
    parser.add_argument("--kills", type=int, default=200, help="how many that something is killed of (default 200)")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32), help="of all that is random")
    parser.add_argument(
        "--work", default=f"/var/tmp/lamina-endurance-{os.getpid()}", help="a directory that is not there yet"
    )
    options = parser.parse_args()
    options.work = os.path.abspath(options.work)
    return options


def _why_not() -> str | None:
    if reason := programs.why_no_root():
        return f"{reason} (it makes namespaces, networks and containers)"
    if missing := [name for name in _NEEDED if programs.find(name) is None]:
        return f"{missing[0]} is not installed (scripts/packages.txt)"
    return None if images.busybox_path() else "busybox-static is not installed (scripts/packages.txt)"


if __name__ == "__main__":
    sys.exit(main())

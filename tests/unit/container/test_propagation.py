"""A bind mount propagates only where the host's mount has something to share."""

from __future__ import annotations

from pathlib import Path

import pytest

from lamina.container import propagation
from lamina.container.configuring import InvalidSetting
from lamina.container.record import Container

TABLE = """\
20 1 254:0 / / rw - ext4 /dev/root rw
21 20 0:20 / /shared rw shared:7 - tmpfs x rw
22 21 0:21 / /shared/sp\\040ace rw shared:8 master:1 - tmpfs x rw
23 20 0:22 / /slave rw master:7 - tmpfs x rw
24 20 0:23 / /sharedlike rw - tmpfs x rw
"""


def needed(tmp_path: Path, *points: tuple[str, str]) -> str:
    table = tmp_path / "mountinfo"
    table.write_text(TABLE)
    document = {"MountPoints": {}}
    for source, mode in points:
        document["MountPoints"][source] = {"Type": "bind", "Source": source, "Propagation": mode}
    return propagation.of_root(Container(document, {}), "/var/lib/lamina", str(table))


@pytest.mark.parametrize(
    ("source", "mode", "root"),
    [
        ("/x", "rprivate", ""),
        ("/shared/x", "rshared", "shared"),
        ("/shared", "rslave", "rslave"),
        ("/slave/x", "slave", "rslave"),
        ("/shared/sp ace", "shared", "shared"),
        ("/var", "rslave", ""),  # holds the data root: nobody asked for it
    ],
)
def test_the_roots_propagation_follows(source: str, mode: str, root: str, tmp_path: Path) -> None:
    assert needed(tmp_path, (source, mode)) == root


def test_one_that_shares_outweighs_one_that_follows(tmp_path: Path) -> None:
    assert needed(tmp_path, ("/shared/a", "rshared"), ("/shared/b", "rslave")) == "shared"


@pytest.mark.parametrize(
    ("source", "mode", "message"),
    [
        ("/x", "rshared", "path /x is mounted on / but it is not a shared mount"),
        ("/slave/x", "shared", "path /slave/x is mounted on /slave but it is not a shared mount"),
        ("/x", "rslave", "path /x is mounted on / but it is not a shared or slave mount"),
        (
            "/sharedlike/x",
            "slave",
            "path /sharedlike/x is mounted on /sharedlike but it is not a shared or slave mount",
        ),
    ],
)
def test_a_mount_without_peers_is_refused_in_dockers_words(
    source: str, mode: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(InvalidSetting, match=message):
        needed(tmp_path, (source, mode))

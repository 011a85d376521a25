"""What the commands that people run most import: start-up is most of their time, and imports are most of start-up."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

_PROGRAM = """
import io, sys
from lamina.cli.main import main
out, sys.stdout, sys.stderr = sys.stdout, io.TextIOWrapper(io.BytesIO()), io.TextIOWrapper(io.BytesIO())
main(sys.argv[1:])
print(*sys.modules, file=out)
"""

#: Modules of the front that every verb needs.
_FRAME = {"command", "flags", "main", "opening", "verbs"}
_LISTING = {"listing", "table", "units"}
_FRONT = {
    "images": _FRAME | _LISTING | {"images"},
    "image ls": _FRAME | _LISTING | {"images"},
    "history nothing": _FRAME | _LISTING | {"history"},
    "inspect nothing": _FRAME | {"inspect", "inspecting", "image_inspect"},
    "image inspect nothing": _FRAME | {"inspecting", "image_inspect"},
    "tag nothing other": _FRAME | {"tag"},
    "ps": _FRAME | _LISTING | {"ps"},
    "exec nothing true": _FRAME | {"exec_", "attaching", "createflags", "createflags.program"},
}
#: What only looks at images.
_LOOKING = [command for command in _FRONT if not command.startswith(("ps", "exec"))]

_COSTLY_NAMES = """
    argparse asyncio backports blake3 concurrent dataclasses email enum html http inspect ipaddress isal json logging
    pathlib pickle platform random re rich signal ssl subprocess tempfile traceback typing unittest urllib urllib3 uuid
    xml
"""
#: Standard and third-party modules that cost milliseconds: none of these commands may load them.
_COSTLY = frozenset(_COSTLY_NAMES.split())
#: What a command can't do without: templates and indented JSON.
_NEEDED = {
    "ps": {"enum", "re"},
    "inspect nothing": {"enum", "json", "re"},
    "image inspect nothing": {"enum", "json", "re"},
}

#: Floors that looking at images has no need of.
_FOREIGN_FLOORS = ("lamina.distribution", "lamina.registry", "lamina.runtime", "lamina.dockerfile")


def loaded_by(command: str, root: Path) -> set[str]:
    """Names of all modules that the command has loaded at its end."""
    words = [
        "--root",
        str(root / "root"),
        "--config",
        str(root / "config"),
        "--storage-driver",
        "vfs",
        *command.split(),
    ]
    done = subprocess.run([sys.executable, "-c", _PROGRAM, *words], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("command", _FRONT)
def test_a_frequent_command_loads_only_its_own_verb(command: str, tmp_path: Path) -> None:
    front = "lamina.cli."
    loaded = {name.removeprefix(front) for name in loaded_by(command, tmp_path) if name.startswith(front)}
    assert loaded == _FRONT[command]


@pytest.mark.parametrize("command", _FRONT)
def test_a_frequent_command_loads_nothing_costly(command: str, tmp_path: Path) -> None:
    loaded = {name.split(".")[0] for name in loaded_by(command, tmp_path)}
    assert loaded & _COSTLY <= _NEEDED.get(command, set())


@pytest.mark.parametrize("command", _LOOKING)
def test_looking_at_images_loads_no_other_floor(command: str, tmp_path: Path) -> None:
    assert not {name for name in loaded_by(command, tmp_path) if name.startswith(_FOREIGN_FLOORS)}


def test_exec_loads_no_image_or_layer(tmp_path: Path) -> None:
    foreign = ("lamina.image", "lamina.layer", "lamina.tarball", "lamina.network", "lamina.container.service")
    loaded = loaded_by("exec nothing true", tmp_path)
    assert "lamina.container.execution" in loaded
    assert not {name for name in loaded if name.startswith(foreign)}


def test_run_loads_what_few_containers_need_only_for_them() -> None:
    program = "import sys, lamina.cli.run, lamina.container.service, lamina.volume.store; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    rare = {"limits", "rights", "sharing", "processlimits", "propagation", "subpaths", "volumesfrom", "updating"}
    rare.add("statistics")
    loaded = {name.removeprefix("lamina.container.") for name in done.stdout.split()}
    assert not rare & loaded
    assert not {"lamina.cli.createvalues", "lamina.runtime.controllers", "lamina.volume.local"} & loaded


def test_a_container_on_the_bridge_loads_no_cryptography() -> None:
    program = "import sys, lamina.network.sandboxes; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert not {"hashlib", "_hashlib", "socket", "lamina.network.proxy", "lamina.network.resolver"} & loaded
    assert not loaded & _COSTLY

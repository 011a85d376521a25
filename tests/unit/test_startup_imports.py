"""What the commands that people run most import: start-up is most of their time, and imports are most of start-up."""

from __future__ import annotations

import collections
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest

from lamina import startup

_START = """
import sys
sys.path += sys.argv.pop(1).split(":")
from lamina.startup import install
assert install(sys.argv.pop(1))
"""
_PROGRAM = """
import io
from lamina.cli.main import main
out, sys.stdout, sys.stderr = sys.stdout, io.TextIOWrapper(io.BytesIO()), io.TextIOWrapper(io.BytesIO())
main(sys.argv[1:])
print(*sys.modules, file=out)
"""

#: Modules of the front that every verb needs.
_FRAME = {"command", "flags", "main", "opening", "verbs"}
_LISTING = {"listing", "table", "units"}
_EXEC = ("exec_", "attaching", "createflags", "createflags.program")
_FRONT = {
    "images": _FRAME | _LISTING | {"image", "image.ls"},
    "image ls": _FRAME | _LISTING | {"image", "image.ls"},
    "history nothing": _FRAME | _LISTING | {"image", "image.history"},
    "inspect nothing": _FRAME | {"inspect", "inspecting", "image", "image.inspect"},
    "image inspect nothing": _FRAME | {"inspecting", "image", "image.inspect"},
    "tag nothing other": _FRAME | {"image", "image.tag"},
    "ps": _FRAME | _LISTING | {"container", "container.ls"},
    "exec nothing true": _FRAME | {"container", *(f"container.{name}" for name in _EXEC)},
}
#: What only looks at images.
_LOOKING = [command for command in _FRONT if not command.startswith(("ps", "exec"))]

_COSTLY_NAMES = """
    argparse array asyncio backports blake3 collections concurrent contextlib ctypes dataclasses email enum
    functools html http importlib inspect ipaddress isal json logging pathlib pickle platform random re rich signal
    ssl subprocess tempfile termios traceback typing unittest urllib urllib3 uuid warnings xml
"""
#: Standard and third-party modules that cost milliseconds: none of these commands may load them.
_COSTLY = frozenset(_COSTLY_NAMES.split())
_PATTERNS = {"re", "collections", "enum", "functools"}
#: What a command can't do without: templates, indented JSON, what may report progress.
_NEEDED = {
    "ps": _PATTERNS,
    "inspect nothing": {*_PATTERNS, "json"},
    "image inspect nothing": {*_PATTERNS, "json"},
}

#: Floors that looking at images has no need of.
_FOREIGN_FLOORS = ("lamina.distribution", "lamina.registry", "lamina.runtime", "lamina.dockerfile")


Loader = Callable[..., set[str]]


@pytest.fixture(scope="module")
def modules_of(tmp_path_factory: pytest.TempPathFactory) -> Loader:
    """Tells the names of the modules that are loaded at the end of a program, which starts as the installed script."""
    file = tmp_path_factory.mktemp("startup") / "file"
    with pytest.MonkeyPatch.context() as patch:
        # A file with all modules takes seconds to write; this one is what an abstract class's name is looked up in.
        patch.setattr(startup, "_sources", lambda: iter([("collections", collections.__file__)]))
        startup.write(str(file))
    path = ":".join((str(Path(startup.__file__).parents[1]), sysconfig.get_path("purelib")))

    def run(program: str, *words: str) -> set[str]:
        command = [sys.executable, "-IS", "-c", _START + program, path, str(file), *words]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return set(done.stdout.split()) - {"collections.abc"}  # which is a name for what "os" has loaded

    return run


@pytest.fixture
def loaded_by(modules_of: Loader, tmp_path: Path) -> Loader:
    """The same of a command line."""
    flags = ("--root", str(tmp_path / "root"), "--config", str(tmp_path / "config"), "--storage-driver", "vfs")
    return lambda command: modules_of(_PROGRAM, *flags, *command.split())


@pytest.mark.parametrize("command", _FRONT)
def test_a_frequent_command_loads_only_its_own_verb(command: str, loaded_by: Loader) -> None:
    front = "lamina.cli."
    loaded = {name.removeprefix(front) for name in loaded_by(command) if name.startswith(front)}
    assert loaded == _FRONT[command]


@pytest.mark.parametrize("command", _FRONT)
def test_a_frequent_command_loads_nothing_costly(command: str, loaded_by: Loader) -> None:
    loaded = {name.split(".")[0] for name in loaded_by(command)}
    assert loaded & _COSTLY <= _NEEDED.get(command, set())


@pytest.mark.parametrize("command", _LOOKING)
def test_looking_at_images_loads_no_other_floor(command: str, loaded_by: Loader) -> None:
    assert not {name for name in loaded_by(command) if name.startswith(_FOREIGN_FLOORS)}


#: Modules that the verbs load when they get to work, and what asks a registry.
_DISTRIBUTION = {verb: f"lamina.distribution.{verb}" for verb in ("pull", "push", "save", "load")}
_DISTRIBUTION["import"] = "lamina.distribution.importing"
_ASK = """
from lamina.reference import parse_tagged
from lamina.registry.client import RegistryClient
from lamina.registry.errors import ConnectionFailed
from lamina.registry.settings import Settings
try:
    RegistryClient(Settings()).manifest(parse_tagged("127.0.0.1:1/nothing"))
except ConnectionFailed:
    print(*sys.modules)
"""


@pytest.mark.parametrize("verb", ["pull", "push"])
def test_a_http_library_and_openssl_are_loaded_with_the_first_request(verb: str, modules_of: Loader) -> None:
    small = "from lamina.tarball.gzipwriter import compress; list(compress([b'small']))"
    before = f"import {_DISTRIBUTION[verb]}, lamina.registry.client; {small}"
    loaded = {name.split(".")[0] for name in modules_of(f"{before}; print(*sys.modules)")}
    assert "lamina" in loaded
    assert loaded & _COSTLY <= {*_PATTERNS, "array", "ipaddress", "isal", "urllib", "warnings"}
    assert "urllib3" in modules_of(f"{before}; {_ASK}")


@pytest.mark.parametrize("verb", ["save", "load", "import"])
def test_archives_load_nothing_about_registries_and_unions(verb: str, modules_of: Loader) -> None:
    loaded = modules_of(f"import {_DISTRIBUTION[verb]}, lamina.layer.reading, lamina.layer.unpack; print(*sys.modules)")
    foreign = ("lamina.registry", "lamina.dockerfile", "lamina.layer.difference", "lamina.unionfs.union")
    assert not {name for name in loaded if name.startswith(foreign)}
    assert {name.split(".")[0] for name in loaded} & _COSTLY <= {*_PATTERNS, "array"}


def test_an_image_of_which_no_container_is_there_is_removed_without_a_look_at_what_runs_them(
    loaded_by: Loader,
) -> None:
    loaded = loaded_by("rmi nothing")
    assert "lamina.image.removal" in loaded
    assert not {name for name in loaded if name.startswith(("lamina.container.service", "lamina.runtime"))}
    assert not {name.split(".")[0] for name in loaded} & _COSTLY


def test_exec_loads_no_image_or_layer(loaded_by: Loader) -> None:
    foreign = ("lamina.image", "lamina.layer", "lamina.tarball", "lamina.network", "lamina.container.service")
    loaded = loaded_by("exec nothing true")
    assert "lamina.container.execution" in loaded
    assert not {name for name in loaded if name.startswith(foreign)}


def test_run_loads_what_few_containers_need_only_for_them(modules_of: Loader) -> None:
    modules = modules_of(
        "import lamina.cli.container.run, lamina.container.service, lamina.container.creation\n"
        "import lamina.graphdriver.choice, lamina.image.store, lamina.network.service, lamina.volume.store\n"
        "print(*sys.modules)"
    )
    rare = {"copyup", "limits", "rights", "sharing", "processlimits", "propagation", "signals", "subpaths", "updating"}
    rare |= {"statistics", "volumesfrom"}
    loaded = {name.removeprefix("lamina.container.") for name in modules}
    assert not rare & loaded
    assert not {"lamina.cli.container.createvalues", "lamina.cli.container.mountflag"} & loaded
    assert not {"lamina.runtime.controllers"} & loaded
    assert not {"lamina.graphdriver.treecopy", "lamina.graphdriver.vfs", "lamina.image.recovery"} & loaded
    assert not {"lamina.layer.release", "lamina.volume.local"} & loaded
    assert not loaded & _COSTLY


def test_making_a_container_loads_nothing_of_running_it(modules_of: Loader) -> None:
    """That is loaded meanwhile by the process that becomes its monitor."""
    modules = modules_of(
        "import lamina.cli.container.run, lamina.container.service, lamina.container.creation\n"
        "import lamina.container.standby, lamina.container.logdrivers, lamina.graphdriver.choice\n"
        "import lamina.image.store; print(*sys.modules)"
    )
    running = ["clients", "household", "jsonlog", "monitor", "preparing", "rootfs", "specification", "streams", "users"]
    assert not {f"lamina.container.{name}" for name in running} & modules
    assert not {"lamina.linux.libc", "lamina.linux.mount", "lamina.runtime.program", "lamina.runtime.filters"} & modules
    assert not {
        name for name in modules if name.startswith(("lamina.network", "lamina.volume", "lamina.cli.container.attach"))
    }


def test_start_loads_nothing_about_images(loaded_by: Loader) -> None:
    loaded = loaded_by("start nothing")
    assert "lamina.container.lifecycle" in loaded
    assert not {name for name in loaded if name.startswith("lamina.image")}
    assert not loaded & _COSTLY


def test_a_container_on_the_bridge_loads_no_cryptography(modules_of: Loader) -> None:
    loaded = modules_of("import lamina.network.sandboxes; print(*sys.modules)")
    assert not {"hashlib", "_hashlib", "socket", "lamina.network.proxy", "lamina.network.resolver"} & loaded
    assert not loaded & _COSTLY

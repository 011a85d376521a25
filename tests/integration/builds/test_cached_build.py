"""What a build imports of which every step is cached: start-up is most of its time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from support.building import build
from support.command import Lamina

pytestmark = [pytest.mark.root, pytest.mark.needs("crun")]

_PROGRAM = """
import sys
from lamina.cli.main import main
main(sys.argv[1:])
print(*sys.modules, file=sys.stderr)
"""
_COSTLY = """
    argparse asyncio backports blake3 concurrent csv dataclasses email html http inspect ipaddress isal logging pathlib
    pickle platform random rich ssl subprocess tempfile traceback unittest urllib urllib3 uuid xml
"""
#: What only work needs, or what is elsewhere.
_FLOORS = ("lamina.registry", "lamina.container", "lamina.runtime", "lamina.dockerfile.check")
_BUILDER = (
    "additions copying downloading execution gitreference gitrepository remotecontext running warden cacheexport "
    "cacheimport verifying exporting"
)


def test_a_cached_build_loads_nothing_that_only_work_needs(built: Lamina, context: Path) -> None:
    (context / "data").write_text("data")
    build(
        built,
        context,
        "FROM busybox AS files\nRUN echo x > /x\nCOPY --link data /data\nFROM scratch\nWORKDIR /w\nENV A=b\n"
        "COPY --from=files /x /data ./\nLABEL a=b\n",
    )
    words = built.command("build", "--quiet", "-t", "made", str(context))[1:]
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, *words], capture_output=True, text=True, check=True, env=built.environment
    )
    loaded = set(done.stderr.split())
    assert not loaded & set(_COSTLY.split())
    assert not {name for name in loaded if name.startswith(_FLOORS)}
    assert not loaded & {f"lamina.builder.{name}" for name in _BUILDER.split()}

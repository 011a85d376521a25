"""Lists and look-ups on a root with very many images: ``python -m bench.many [--images 10000]``.

The images are configurations over a hundred stacks of five empty layers, written straight into Docker's layout: what
is measured never opens a layer.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import statistics
import sys
import tempfile

from bench.measure import timing
from lamina.digest import ChainID, DiffID, chain_id
from lamina.engine import Engine

_STACKS = 100
_DEPTH = 5
_ROUNDS = 9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=10_000, help="how many (default: %(default)s)")
    parser.add_argument("--lamina", default=os.path.join(os.path.dirname(sys.executable), "lamina"), help="the program")
    options = parser.parse_args()
    count = options.images
    with tempfile.TemporaryDirectory(prefix="lamina-many-") as root:
        fill(root, count)
        print(f"{count} images; median of {_ROUNDS} runs, milliseconds\n\n| command | wall | CPU |\n|---|---|---|")
        for words in (["images"], ["images", "-q"], ["history", "app7:3"], ["inspect", "app7:3"], ["ps"]):
            command = [options.lamina, "--root", root, *words]
            timing(command, ())  # makes the index
            rounds = [timing(command, ()) for _ in range(_ROUNDS)]
            wall, cpu = (statistics.median(values) * 1000 for values in zip(*rounds, strict=True))
            print(f"| `{' '.join(words)}` | {wall:.0f} | {cpu:.0f} |")


def fill(root: str, count: int) -> None:
    """Make the root, with ``count`` images named ``app<number>:<digit>``."""
    store = Engine(root, storage_driver="overlay2").image_store.root.store()
    stacks = [_stack(root, store, number) for number in range(_STACKS)]
    names: dict[str, dict[str, str]] = {}
    for number in range(count):
        raw = _configuration(number, stacks[number % _STACKS])
        digest = hashlib.sha256(raw).hexdigest()
        _write(f"{store}/imagedb/content/sha256/{digest}", raw)
        repository = f"app{number // 10}"
        names.setdefault(repository, {})[f"{repository}:{number % 10}"] = f"sha256:{digest}"
    _write(f"{store}/repositories.json", json.dumps({"Repositories": names}, sort_keys=True).encode())


def _stack(root: str, store: str, number: int) -> list[str]:
    """DiffIDs of a stack of layers that exist now; the lowest is the same for all."""
    parent: ChainID | None = None
    diff_ids = []
    for level in range(_DEPTH):
        diff_id = DiffID.of(f"{number if level else 0}/{level}".encode())
        diff_ids.append(str(diff_id))
        chain = chain_id(parent, diff_id)
        directory = f"{store}/layerdb/sha256/{chain.hex}"
        if not os.path.isdir(directory):
            os.mkdir(directory)
            cache_id = hashlib.sha256(chain.encode()).hexdigest()
            parts = {"diff": diff_id, "size": str(1000 + level), "cache-id": cache_id, "parent": parent or ""}
            for name, text in parts.items():
                if text:
                    _write(f"{directory}/{name}", text.encode())
            os.makedirs(f"{root}/overlay2/{cache_id}/diff")
        parent = chain
    return diff_ids


def _configuration(number: int, diff_ids: list[str]) -> bytes:
    document = {
        "architecture": "amd64",
        "config": {"Cmd": ["sh"], "Env": ["PATH=/usr/bin:/bin", f"NUMBER={number}"], "Labels": {"number": str(number)}},
        "created": f"20{10 + number % 14}-0{1 + number % 9}-1{number % 9}T0{number % 9}:00:00.123456789Z",
        "history": [
            {"created": "2020-01-01T00:00:00Z", "created_by": f"/bin/sh -c echo {level} {'x' * 200}"}
            for level in range(_DEPTH)
        ],
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    }
    return json.dumps(document).encode()


def _write(path: str, data: bytes) -> None:
    with open(path, "wb") as file:
        file.write(data)


if __name__ == "__main__":
    main()

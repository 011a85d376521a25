"""``stats`` on docker and on lamina: the same tables; numbers are of the same kind."""

from __future__ import annotations

import re

import pytest

from support.pair import Answer, Pair

pytestmark = [pytest.mark.root, pytest.mark.dockerd, pytest.mark.needs("crun")]

_NUMBER = re.compile(r"\d+(\.\d+)?((?:[KMG]i)?B|%)")


def shown(answer: Answer) -> Answer:
    """Without the numbers that differ, and the width of columns that follows from them."""
    text = _NUMBER.sub(r"N\2", answer.out).replace("KiB", "MiB")
    return answer._replace(out=re.sub(" +", " ", re.sub("[0-9a-f]{64}|[0-9a-f]{12}", "ID", text)))


def test_the_same_is_shown(changing: Pair, busybox_archive: str) -> None:
    changing.daemon.docker("load", "-i", busybox_archive)
    changing.lamina("load", "-i", busybox_archive)
    run = ["run", "-d", "--name", "measured", "--network", "none", "-m", "64m", "busybox", "sleep", "600"]
    changing.daemon.docker(*run)
    changing.lamina(*run)
    changing.ask("create", "--name", "idle", "--network", "none", "busybox")
    try:
        for words in (
            ("--no-stream",),
            ("--no-stream", "--all", "--no-trunc"),
            (
                "--no-stream",
                "--format",
                "{{.Container}}|{{.Name}}|{{.PIDs}}|{{.MemUsage}}|{{.MemPerc}}",
                "measured",
                "idle",
            ),
            ("--no-stream", "--format", "table {{.Container}}\\t{{.BlockIO}}\\t{{.NetIO}}", "measured"),
            ("--no-stream", "--format", "json {{json .Name}}", "idle"),
            ("--no-stream", "idle", "nosuch"),
        ):
            docker, lamina = changing.ask("stats", *words)
            assert shown(lamina) == shown(docker), words
        assert re.search(r"[1-9][\d.]*[KM]iB / 64MiB", changing.lamina("stats", "--no-stream", "measured"))
    finally:
        changing.ask("rm", "-f", "measured", "idle")

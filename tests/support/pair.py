"""The same command line to a real docker and to lamina."""

from __future__ import annotations

import io
import re
import subprocess
from contextlib import redirect_stderr, redirect_stdout
from typing import NamedTuple

from lamina.cli.main import main
from support.command import Lamina
from support.dockerd import Dockerd

#: Where the program names itself.
_OWN_NAME = re.compile(r"((?:^|Usage:  |\"|'|a ))docker(?= |:)")
_ID = re.compile(r"\b(?:[0-9a-f]{64}|[0-9a-f]{12})\b")
_AGO = re.compile(r"(Less than a second|About a minute|About an hour|\d+ \w+) ago *")


class Answer(NamedTuple):
    """What a command said."""

    code: int
    out: str
    err: str


def answer_of(done: subprocess.CompletedProcess[bytes] | subprocess.CompletedProcess[str], program: str) -> Answer:
    out, err = (text if isinstance(text, str) else text.decode() for text in (done.stdout, done.stderr))
    if program == "docker":
        # docker's client says this or not, by chance, when a start has failed.
        err = "".join(line for line in err.splitlines(keepends=True) if "error waiting for container" not in line)
        out, err = (_OWN_NAME.sub(r"\1lamina", text) for text in (out, err))
    # How wide a column of ages is depends on the second.
    return Answer(done.returncode, re.sub("CREATED +", "CREATED ", _AGO.sub("AGO ", out)), err)


class Pair:
    """A dockerd and a lamina that are asked the same.

    :ivar mask_ids: take IDs for the same when both sides name them at the same places, first and later: what a side
        made itself has IDs of its own.
    """

    def __init__(self, daemon: Dockerd, lamina: Lamina, *, mask_ids: bool = False) -> None:
        self.daemon = daemon
        self.lamina = lamina
        self.mask_ids = mask_ids
        self._numbers: dict[str, dict[str, int]] = {"docker": {}, "lamina": {}}

    def ask(self, *words: str, input: bytes | None = None) -> tuple[Answer, Answer]:
        """What docker said, and what lamina said."""
        docker = answer_of(self.daemon.run(*words, input=input), "docker")
        return docker, self.ask_lamina(*words, input=input)

    def ask_lamina(self, *words: str, input: bytes | None = None) -> Answer:
        return answer_of(self._lamina(*words, input=input), "lamina")

    def _lamina(self, *words: str, input: bytes | None) -> subprocess.CompletedProcess[str]:
        """Run it in this process, which is much faster, unless something is to be typed or a monitor forked."""
        if input is not None or words[0] in ("run", "start", "restart", "exec"):
            return self.lamina.run(*words, input=input)
        arguments = ["--root", self.lamina.root, "--config", self.lamina.docker_config, *words]
        out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", newline="\n") for _ in range(2))
        with redirect_stdout(out), redirect_stderr(err):
            code = main(arguments)
        texts = []
        for stream in (out, err):
            stream.flush()
            texts.append(stream.detach().getvalue().decode())
        return subprocess.CompletedProcess(arguments, code, *texts)

    def same(self, *words: str, input: bytes | None = None) -> Answer:
        """Ask both; they must say the same."""
        docker, lamina = self.ask(*words, input=input)
        theirs, ours = self._masked(docker, "docker"), self._masked(lamina, "lamina")
        assert ours == theirs, f"{' '.join(words)}\ndocker: {theirs}\nlamina: {ours}"
        return lamina

    def masked(self, *words: str) -> tuple[Answer, Answer]:
        """What docker said, and what lamina said, with the IDs taken for the same where :attr:`mask_ids` says so."""
        docker, lamina = self.ask(*words)
        return self._masked(docker, "docker"), self._masked(lamina, "lamina")

    def _masked(self, answer: Answer, side: str) -> Answer:
        if not self.mask_ids:
            return answer
        numbers = self._numbers[side]

        def number(match: re.Match[str]) -> str:
            return f"ID-{numbers.setdefault(match[0][:12], len(numbers))}-{len(match[0])}"

        return answer._replace(out=_ID.sub(number, answer.out), err=_ID.sub(number, answer.err))

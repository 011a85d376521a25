"""What a verb is: its grammar (:class:`Command`), what was typed (:class:`Options`), where it runs (:class:`Context`).

A verb is one module, ``lamina/cli/<group>/<verb>.py``, with ``COMMAND = Command(...)`` and
``def run(context: Context, options: Options) -> int``, which returns the exit code. Raise a
:class:`~lamina.errors.LaminaError` for what the engine refuses (printed as ``Error response from daemon: ...``) and
:class:`CommandError` for what the command line itself refuses (printed as it is).
"""

from __future__ import annotations

from collections.abc import Mapping

from lamina.cli.flags import Flag, Parsed
from lamina.typing import IO, TYPE_CHECKING, NamedTuple, TextIO

if TYPE_CHECKING:
    from lamina.engine import Engine

#: The name that messages and help use.
PROGRAM = "lamina"


class CommandError(Exception):
    """The command line's own refusal.

    :ivar text: printed to standard error unless empty.
    :ivar code: exit code.
    """

    def __init__(self, text: str, code: int = 1) -> None:
        super().__init__(text)
        self.text = text
        self.code = code


class Arity(NamedTuple):
    """How many arguments a verb takes; ``most`` is ``None`` for any number."""

    least: int
    most: int | None

    def complaint(self, count: int) -> str | None:
        """Docker's words when ``count`` is wrong: ``requires exactly 2 arguments.``"""
        if count >= self.least and (self.most is None or count <= self.most):
            return None
        if self.most == 0:
            return "accepts no arguments."
        if self.most is None:
            return f"requires at least {_arguments(self.least)}."
        if self.least == self.most:
            return f"requires exactly {_arguments(self.least)}."
        if self.least == 0:
            return f"requires at most {_arguments(self.most)}."
        return f"requires at least {self.least} and at most {_arguments(self.most)}."


def _arguments(count: int) -> str:
    return f"{count} argument" if count == 1 else f"{count} arguments"


def exactly(count: int) -> Arity:
    return Arity(count, count)


def at_least(count: int) -> Arity:
    return Arity(count, None)


def at_most(count: int) -> Arity:
    return Arity(0, count)


def between(least: int, most: int) -> Arity:
    return Arity(least, most)


NO_ARGUMENTS = Arity(0, 0)
ANY_ARGUMENTS = Arity(0, None)


class Command(NamedTuple):
    """A verb's grammar and help.

    :ivar usage: what follows the verb in the usage line: ``[OPTIONS] IMAGE [IMAGE...]``.
    :ivar summary: one line, as lists of verbs show it.
    :ivar description: what the verb's own help says when it says more than ``summary``.
    :ivar interspersed: whether flags may follow arguments.
    """

    usage: str
    summary: str
    arguments: Arity
    flags: tuple[Flag, ...] = ()
    description: str = ""
    interspersed: bool = True


class Options:
    """What was typed: flags by name, and the arguments."""

    __slots__ = ("_given", "_values", "arguments")

    def __init__(self, parsed: Parsed) -> None:
        self.arguments: list[str] = parsed.arguments
        self._given = parsed.given
        self._values = parsed.values

    def given(self, name: str) -> bool:
        """Whether the flag was on the command line."""
        return name in self._given

    def on(self, name: str) -> bool:
        """A switch."""
        value = self._values[name]
        assert isinstance(value, bool), name
        return value

    def on_if_known(self, name: str) -> bool:
        """The same for a switch that this verb may not have."""
        return self._values.get(name) is True

    def text(self, name: str) -> str:
        value = self._values[name]
        assert isinstance(value, str), name
        return value

    def integer(self, name: str) -> int:
        value = self._values[name]
        assert isinstance(value, int), name
        return value

    def texts(self, name: str) -> list[str]:
        """A repeatable flag's texts in order."""
        value = self._values[name]
        assert isinstance(value, list), name
        return value

    def filters(self, name: str = "filter") -> dict[str, list[str]]:
        """``--filter`` flags by filter name."""
        value = self._values[name]
        assert isinstance(value, list), name
        wanted: dict[str, list[str]] = {}
        for key, text in value:
            wanted.setdefault(key, []).append(text)
        return wanted

    def value(self, name: str) -> object:
        """A flag with a parser of its own: what that returned, or the default."""
        return self._values[name]


class Context:
    """A verb's surroundings.

    :ivar path: the verb as typed: ``image ls``.
    :ivar root: the data root that ``--root`` or ``LAMINA_ROOT`` chose; ``None`` leaves it to the configuration.
    :ivar docker_config_dir: directory of docker's ``config.json`` (credentials, helpers).
    :ivar environment: the process's environment; the only way for a verb to read it.
    """

    def __init__(
        self,
        path: str,
        *,
        root: str | None,
        storage_driver: str | None,
        userns_remap: str | None = None,
        docker_config_dir: str,
        debug: bool,
        environment: Mapping[str, str],
        stdin: TextIO,
        stdout: TextIO,
        stderr: TextIO,
    ) -> None:
        self.path = path
        self.root = root
        self.storage_driver = storage_driver
        self.userns_remap = userns_remap
        self.docker_config_dir = docker_config_dir
        self.debug = debug
        self.environment = environment
        self.stdin = stdin
        self.stdout = stdout
        self.stderr = stderr
        self._engine: Engine | None = None

    def engine(self) -> Engine:
        """The engine on the chosen data root, opened at the first call."""
        if self._engine is None:
            from lamina.cli.opening import open_engine

            self._engine = open_engine(self)
        return self._engine

    def close(self) -> None:
        """Close the engine, if one was opened."""
        if self._engine is not None:
            self._engine.close()

    def preferred_format(self, key: str) -> str:
        """The user's default for ``--format``: ``imagesFormat`` or ``psFormat`` of docker's ``config.json``."""
        from lamina import json

        try:
            with open(f"{self.docker_config_dir}/config.json", encoding="utf-8") as file:
                value = json.load(file).get(key, "")
        except (OSError, ValueError, AttributeError):
            return ""
        return value if isinstance(value, str) else ""

    def print(self, line: str = "") -> None:
        """A line to standard output."""
        self.stdout.write(line + "\n")

    def warn(self, line: str) -> None:
        """A line to standard error."""
        self.stderr.write(line + "\n")

    @property
    def binary_stdout(self) -> IO[bytes]:
        """Standard output for bytes; what was printed before comes first."""
        self.stdout.flush()
        return self.stdout.buffer

    @property
    def binary_stdin(self) -> IO[bytes]:
        return self.stdin.buffer

"""Variables in instructions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from lamina.dockerfile.instructions import (
    Add,
    Copy,
    Env,
    Expose,
    From,
    Instruction,
    Label,
    StopSignal,
    User,
    Volume,
    Workdir,
)
from lamina.dockerfile.lexer import Expansion, Lexer
from lamina.typing import Any, TypeVar, cast

_Kind = TypeVar("_Kind", bound=From | Instruction)


def expand(word: str, variables: Mapping[str, str], escape: str = "\\") -> str:
    """``word`` without its quotes and escapes, variables replaced.

    Raises :class:`~lamina.dockerfile.failure.InvalidInstruction` for an open quote, a malformed ``${...}`` and a
    ``${name:?}`` that is not satisfied.
    """
    return Lexer(escape).process(word, variables).text


def expand_words(word: str, variables: Mapping[str, str], escape: str = "\\") -> list[str]:
    """As :func:`expand`, then split at the blanks that were neither quoted nor escaped."""
    return Lexer(escape).process(word, variables).words


def expanded(instruction: _Kind, variables: Mapping[str, str], escape: str = "\\") -> _Kind:
    """``instruction`` with variables replaced in every place where Docker replaces them.

    Those are the arguments of ``COPY`` and ``ADD`` with ``--chown``, ``--chmod``, ``--checksum`` and their heredocs,
    and the arguments of ``ENV``, ``LABEL``, ``EXPOSE``, ``USER``, ``VOLUME``, ``WORKDIR`` and ``STOPSIGNAL``. ``ARG``
    is as it was, since a default is expanded only if it is used, and so are ``RUN`` and commands.
    """
    return Expander(variables, escape).instruction(instruction)


class Expander:
    """Expands with ``variables`` and remembers in ``unmatched`` which were not set, in the order of their use."""

    def __init__(self, variables: Mapping[str, str], escape: str = "\\") -> None:
        self._variables = variables
        self._lexer = Lexer(escape)
        self.unmatched: dict[str, None] = {}

    def word(self, text: str) -> str:
        return self._process(self._lexer, text).text

    def words(self, text: str) -> list[str]:
        return self._process(self._lexer, text).words

    def content(self, text: str) -> str:
        """A heredoc's content: quotes are text, and the escape character is always the backslash."""
        return self._process(Lexer(plain_quotes=True), text).text

    def instruction(self, instruction: _Kind) -> _Kind:
        """See :func:`expanded`."""
        expand = _EXPANDERS.get(type(instruction))
        return cast("_Kind", expand(self, instruction)) if expand else instruction

    def _process(self, lexer: Lexer, text: str) -> Expansion:
        expansion = lexer.process(text, self._variables)
        self.unmatched |= dict.fromkeys(sorted(expansion.unmatched))
        return expansion

    def _each(self, texts: Iterable[str]) -> tuple[str, ...]:
        return tuple(map(self.word, texts))

    def _files(self, found: Copy | Add) -> Copy | Add:
        contents = tuple(
            file._replace(content=self.content(file.content)) if file.expand else file for file in found.contents
        )
        return found._replace(
            chown=self.word(found.chown),
            chmod=self.word(found.chmod),
            sources=self._each(found.sources),
            destination=self.word(found.destination),
            contents=contents,
        )

    def _add(self, found: Add) -> Instruction:
        return self._files(found._replace(checksum=self.word(found.checksum)))

    def _pairs(self, found: Env | Label) -> Instruction:
        return found._replace(
            pairs=tuple(pair._replace(name=self.word(pair.name), value=self.word(pair.value)) for pair in found.pairs)
        )

    def _expose(self, found: Expose) -> Instruction:
        return found._replace(ports=tuple(word for port in found.ports for word in self.words(port)))

    def _user(self, found: User) -> Instruction:
        return found._replace(user=self.word(found.user))

    def _volume(self, found: Volume) -> Instruction:
        return found._replace(paths=self._each(found.paths))

    def _workdir(self, found: Workdir) -> Instruction:
        return found._replace(path=self.word(found.path))

    def _stopsignal(self, found: StopSignal) -> Instruction:
        return found._replace(signal=self.word(found.signal))


_EXPANDERS: dict[type, Callable[[Expander, Any], Instruction]] = {
    Add: Expander._add,
    Copy: Expander._files,
    Env: Expander._pairs,
    Expose: Expander._expose,
    Label: Expander._pairs,
    StopSignal: Expander._stopsignal,
    User: Expander._user,
    Volume: Expander._volume,
    Workdir: Expander._workdir,
}

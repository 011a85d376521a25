"""Builds the tree of a template. A node is one of the named tuples below."""

from __future__ import annotations

import re

from lamina.template.functions import FUNCTIONS
from lamina.template.lexer import TemplateSyntaxError, Token, line_of, tokens
from lamina.typing import NamedTuple, Union

__all__ = ["TemplateSyntaxError", "parse_nodes"]


class Text(NamedTuple):
    text: str


class Constant(NamedTuple):
    """``"a"``, ``1``, ``true``, ``nil``. ``source`` is how it was written."""

    value: object
    source: str
    position: int


class Field(NamedTuple):
    """``.A.B``, ``$x.A``, ``(pipeline).A``, ``.``: a chain of names on ``base`` (``None`` for the dot)."""

    base: Variable | Pipeline | None
    names: tuple[str, ...]
    source: str
    position: int


class Variable(NamedTuple):
    name: str
    position: int


class Function(NamedTuple):
    name: str
    position: int


Operand = Union["Constant", "Field", "Variable", "Function", "Pipeline"]


class Command(NamedTuple):
    """One part of a pipeline: an operand, with arguments when it is a function."""

    operands: tuple[Operand, ...]
    source: str
    position: int


class Pipeline(NamedTuple):
    """``$a, $b := command | command``; ``assign`` for ``=``, which changes an existing variable."""

    commands: tuple[Command, ...]
    declares: tuple[str, ...]
    assign: bool
    source: str
    position: int


class Branch(NamedTuple):
    """``if``, ``with`` or ``range``."""

    kind: str
    pipeline: Pipeline
    body: tuple[Node, ...]
    otherwise: tuple[Node, ...]


class Leave(NamedTuple):
    """``break`` or ``continue``."""

    kind: str


Node = Text | Pipeline | Branch | Leave

_OPENERS = ("if", "range", "with")
_KEYWORDS = {"true": True, "false": False, "nil": None}


def parse_nodes(text: str, name: str = "") -> tuple[Node, ...]:
    """The nodes of the template that messages call ``name``. Raises :class:`TemplateSyntaxError`."""
    try:
        nodes, end = _Parser(text).nodes(inside="")
    except TemplateSyntaxError as error:
        raise TemplateSyntaxError(error.line, error.message, name) from None
    assert end == ""
    return nodes


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(tokens(text))
        self._next = 0
        self._variables = ["$"]
        self._ranges = 0

    # Tokens

    def _peek(self) -> Token | None:
        return self._tokens[self._next] if self._next < len(self._tokens) else None

    def _take(self) -> Token:
        token = self._tokens[self._next]
        self._next += 1
        return token

    def _at(self, kind: str, offset: int = 0) -> bool:
        index = self._next + offset
        return index < len(self._tokens) and self._tokens[index].kind == kind

    def _error(self, message: str) -> TemplateSyntaxError:
        token = self._tokens[min(self._next, len(self._tokens)) - 1] if self._tokens else None
        return TemplateSyntaxError(line_of(self._text, token.position if token else 0), message)

    # Structure

    def nodes(self, inside: str) -> tuple[tuple[Node, ...], str]:
        """Nodes up to ``{{end}}`` or ``{{else``, and which of the two it was; ``""`` at the template's end."""
        found: list[Node] = []
        while (token := self._peek()) is not None:
            self._next += 1
            if token.kind == "text":
                found.append(Text(token.value))
                continue
            word = self._peek()
            name = word.value if word is not None and word.kind == "name" else ""
            if name in ("end", "else"):
                self._next += 1
                if not inside:
                    raise self._error(f"unexpected {{{{{name}}}}}")
                if name == "end":
                    self._close("end")
                return tuple(found), name
            if name in _OPENERS:
                self._next += 1
                found.append(self._branch(name))
            elif name in ("break", "continue"):
                self._next += 1
                if not self._ranges:
                    raise self._error(f"{{{{{name}}}}} outside {{{{range}}}}")
                self._close(name)
                found.append(Leave(name))
            else:
                pipeline = self._pipeline("command", "close")
                found.append(pipeline)
        if inside:
            raise self._error("unexpected EOF")
        return tuple(found), ""

    def _close(self, context: str) -> None:
        token = self._peek()
        if token is None or token.kind != "close":
            raise self._error(f"unexpected {_shown(token)} in {context}")
        self._next += 1

    def _branch(self, kind: str) -> Branch:
        depth = len(self._variables)
        pipeline = self._pipeline(kind, "close")
        self._ranges += kind == "range"
        body, end = self.nodes(inside=kind)
        self._ranges -= kind == "range"
        otherwise: tuple[Node, ...] = ()
        if end == "else":
            word = self._peek()
            if word is not None and word.kind == "name" and word.value == kind and kind in ("if", "with"):
                self._next += 1
                otherwise = (self._branch(kind),)
            else:
                self._close("else")
                otherwise, end = self.nodes(inside=kind)
                if end == "else":
                    raise self._error("expected end; found {{else}}")
        del self._variables[depth:]
        return Branch(kind, pipeline, body, otherwise)

    # Pipelines

    def _pipeline(self, context: str, closer: str) -> Pipeline:
        first = self._peek()
        position = first.position if first is not None else len(self._text)
        declares, assign = self._declarations(context)
        commands: list[Command] = []
        while True:
            token = self._peek()
            if token is not None and token.kind == closer:
                if not commands:
                    raise self._error(f"missing value for {context}")
                self._next += 1
                break
            if token is not None and token.kind == "pipe" and commands:
                self._next += 1
                if self._at(closer):
                    raise self._error(f"missing value for {context}")
            commands.append(self._command(context))
        self._variables.extend(() if assign else declares)
        names = f"{', '.join(declares)} {'=' if assign else ':='} " if declares else ""
        source = names + " | ".join(command.source for command in commands)
        return Pipeline(tuple(commands), declares, assign, source, position)

    def _declarations(self, context: str) -> tuple[tuple[str, ...], bool]:
        if not self._at("variable"):
            return (), False
        two = context == "range" and self._at("comma", 1) and self._at("variable", 2)
        sign = self._next + (3 if two else 1)
        if sign >= len(self._tokens) or self._tokens[sign].kind not in ("declare", "assign"):
            return (), False
        names = tuple(token.value for token in self._tokens[self._next : sign] if token.kind == "variable")
        assign = self._tokens[sign].kind == "assign"
        self._next = sign + 1
        if assign:
            for name in names:
                self._known(name)
        return names, assign

    def _known(self, name: str) -> None:
        if name not in self._variables:
            raise self._error(f'undefined variable "{name}"')

    def _command(self, context: str) -> Command:
        operands: list[Operand] = []
        while (token := self._peek()) is not None and token.kind not in ("pipe", "close", "right"):
            if operands and not token.spaced:
                raise self._error(f"unexpected {_shown(token)} in operand")
            operands.append(self._operand(context))
        if not operands:
            raise self._error(f"unexpected {_shown(self._peek())} in {context}" if token else "unclosed action")
        source = " ".join(_source(operand) for operand in operands)
        return Command(tuple(operands), source, _position(operands[0]))

    def _operand(self, context: str) -> Operand:
        token = self._take()
        operand = self._term(token, context)
        names: list[str] = []
        position = token.position
        if isinstance(operand, Field):
            names.extend(operand.names)
            base = operand.base
        elif isinstance(operand, Variable | Pipeline):
            base = operand
        else:
            return operand
        chain = False
        while (following := self._peek()) is not None and following.kind == "field" and not following.spaced:
            if token.kind == "dot":
                raise self._error(f"unexpected {_shown(following)} in operand")
            if not chain:
                position = following.position  # where Go says that a chain is
            chain = True
            names.append(following.value[1:])
            self._next += 1
        if not chain:
            return operand
        prefix = "" if base is None else base.name if isinstance(base, Variable) else f"({base.source})"
        return Field(base, tuple(names), prefix + "".join(f".{name}" for name in names), position)

    def _term(self, token: Token, context: str) -> Operand:
        kind, value, position = token.kind, token.value, token.position
        if kind == "field":
            return Field(None, (value[1:],), value, position)
        if kind == "dot":
            return Field(None, (), ".", position)
        if kind == "variable":
            self._known(value)
            return Variable(value, position)
        if kind == "left":
            return self._pipeline("parenthesized pipeline", "right")
        if kind == "name":
            if value in _KEYWORDS:
                return Constant(_KEYWORDS[value], value, position)
            if value not in FUNCTIONS:
                raise self._error(f'function "{value}" not defined')
            return Function(value, position)
        if kind in ("string", "character", "number"):
            return Constant(self._constant(token), value, position)
        raise self._error(f"unexpected {_shown(token)} in {context}")

    def _constant(self, token: Token) -> object:
        value = token.value
        if value[0] == "`":
            return value[1:-1]
        try:
            if token.kind == "number":
                return _number(value)
            text = _ESCAPE.sub(_unescape, value[1:-1])
            return text if token.kind == "string" else ord(text)
        except (ValueError, TypeError):
            raise self._error(f"bad syntax: {value}") from None


_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-7]{3}|.)", re.DOTALL)
_SIMPLE_ESCAPES = {
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
    "\\": "\\",
    '"': '"',
    "'": "'",
}


def _unescape(match: re.Match[str]) -> str:
    """One escape of a Go text constant."""
    escape = match[1]
    if escape in _SIMPLE_ESCAPES:
        return _SIMPLE_ESCAPES[escape]
    if escape[0] in "xuU" and len(escape) > 1:
        return chr(int(escape[1:], 16))
    return chr(int(escape, 8))


def _number(text: str) -> int | float:
    try:
        digits = text.lstrip("+-")
        octal = len(digits) > 1 and digits[0] == "0" and digits.isdigit()
        return int(text, 8 if octal else 0)
    except ValueError:
        number = float(text)
        return int(number) if number.is_integer() else number


def _shown(token: Token | None) -> str:
    return "EOF" if token is None else f"<{token.value}>" if token.kind != "close" else '"}}"'


def _source(operand: Operand) -> str:
    if isinstance(operand, Variable | Function):
        return operand.name
    return f"({operand.source})" if isinstance(operand, Pipeline) else operand.source


def _position(operand: Operand) -> int:
    return operand.position

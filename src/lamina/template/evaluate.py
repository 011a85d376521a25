"""Runs a template's tree over a value."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from lamina.template.functions import FUNCTIONS, HEADER_FUNCTIONS, TemplateFunction
from lamina.template.parser import (
    Branch,
    Command,
    Constant,
    Field,
    Function,
    Leave,
    Node,
    Operand,
    Pipeline,
    Text,
    Variable,
)
from lamina.template.values import Nil, Record, TextMap, nil_of, printed, truth, type_name
from lamina.typing import Any, ClassVar


class TemplateError(Exception):
    """The template does not fit the value; the message is Go's."""


class _Break(Exception):
    pass


class _Continue(Exception):
    pass


_NOTHING = object()


class Template:
    """A parsed template. Can be executed many times."""

    def __init__(self, text: str, nodes: tuple[Node, ...], name: str) -> None:
        self._text = text
        self._nodes = nodes
        self._name = name

    def execute(self, value: object) -> str:
        """:raises TemplateError: with Go's message."""
        run = _Run(self._text, value, FUNCTIONS, self._name)
        run.nodes(self._nodes, value)
        return "".join(run.out)

    def header(self, titles: dict[str, str]) -> str:
        """The header line of a table: the template executed over the columns' titles."""
        run = _Run(self._text, _Titles(titles), HEADER_FUNCTIONS, self._name)
        run.nodes(self._nodes, _Titles(titles))
        return "".join(run.out)


def _label_title(name: str) -> str:
    """docker's header of ``{{.Label "com.example.some-name"}}``: ``some name``."""
    return name.rpartition(".")[2].replace("-", " ").replace("_", " ")


class _Titles(dict[str, str | None]):
    """Titles by column; a column that has none is no error."""

    methods: ClassVar[dict[str, Callable[[str], object]]] = {"Label": _label_title}

    def __contains__(self, name: object) -> bool:
        return True

    def __missing__(self, name: str) -> None:
        return None


class _Run:
    def __init__(self, text: str, value: object, functions: Mapping[str, TemplateFunction], name: str) -> None:
        self._text = text
        self._name = name
        self._functions = functions
        self.out: list[str] = []
        self._variables: list[tuple[str, Any]] = [("$", value)]

    def _error(self, position: int, source: str, message: str) -> TemplateError:
        line = self._text.count("\n", 0, position) + 1
        start = self._text.rfind("\n", 0, position) + 1
        column = len(self._text[start:position].encode("utf-8", "surrogateescape"))
        return TemplateError(
            f'template: {self._name}:{line}:{column}: executing "{self._name}" at <{source}>: {message}'
        )

    # Structure

    def nodes(self, nodes: Iterable[Node], dot: Any) -> None:
        for node in nodes:
            if isinstance(node, Text):
                self.out.append(node.text)
            elif isinstance(node, Pipeline):
                value = self._pipeline(node, dot)
                if not node.declares:
                    self.out.append(printed(value))
            elif isinstance(node, Leave):
                raise _Break if node.kind == "break" else _Continue
            else:
                self._branch(node, dot)

    def _branch(self, node: Branch, dot: Any) -> None:
        depth = len(self._variables)
        if node.kind == "range":
            self._range(node, dot)
        else:
            value = self._pipeline(node.pipeline, dot)
            if truth(value):
                self.nodes(node.body, value if node.kind == "with" else dot)
            else:
                self.nodes(node.otherwise, dot)
        del self._variables[depth:]

    def _range(self, node: Branch, dot: Any) -> None:
        depth = len(self._variables)
        pairs = self._pairs(node, self._pipeline(node.pipeline._replace(declares=()), dot))
        declares = node.pipeline.declares
        for key, value in pairs:
            if len(declares) == 1:
                self._variables.append((declares[0], value))
            elif declares:
                self._variables.extend(zip(declares, (key, value), strict=True))
            try:
                self.nodes(node.body, value)
            except _Continue:
                pass
            except _Break:
                break
            finally:
                del self._variables[depth:]
        if not pairs:
            self.nodes(node.otherwise, dot)

    def _pairs(self, node: Branch, value: object) -> list[tuple[object, object]]:
        if value is None or isinstance(value, Nil):
            return []
        if isinstance(value, Mapping):
            return [(key, value[key]) for key in sorted(value)]
        if isinstance(value, list | tuple):
            return list(enumerate(value))
        pipeline = node.pipeline
        message = f"range can't iterate over {printed(value)}"
        raise self._error(pipeline.commands[0].position, pipeline.source, message)

    # Pipelines

    def _pipeline(self, pipeline: Pipeline, dot: Any) -> Any:
        value: Any = _NOTHING
        for command in pipeline.commands:
            value = self._command(command, dot, value)
        for name in pipeline.declares:
            if pipeline.assign:
                index = max(i for i, (known, _) in enumerate(self._variables) if known == name)
                self._variables[index] = (name, value)
            else:
                self._variables.append((name, value))
        return value

    def _command(self, command: Command, dot: Any, final: Any) -> Any:
        first, *rest = command.operands
        if isinstance(first, Function):
            return self._call(command, first, rest, dot, final)
        if rest or final is not _NOTHING:
            if isinstance(first, Field) and first.names:
                given = [*(self._operand(operand, dot) for operand in rest), *([] if final is _NOTHING else [final])]
                return self._method(first, dot, given)
            source = command.source.split(" ", 1)[0]
            raise self._error(command.position, source, f"can't give argument to non-function {source}")
        if isinstance(first, Constant) and first.value is None:
            raise self._error(first.position, "nil", "nil is not a command")
        return self._operand(first, dot)

    def _method(self, operand: Field, dot: Any, given: list[Any]) -> Any:
        """Call a method of the dot with arguments."""
        name = operand.names[-1]
        if isinstance(dot, Record | _Titles) and operand.base is None and len(operand.names) == 1:
            method = dot.methods.get(name)
            if method is not None and len(given) == 1 and isinstance(given[0], str):
                return method(given[0])
            if method is not None and len(given) != 1:
                message = f"wrong number of args for {name}: want 1 got {len(given)}"
                raise self._error(operand.position, operand.source, message)
            if isinstance(dot, Record) and name in dot.columns and name not in (dot.fields or ()):
                message = f"wrong number of args for {name}: want 0 got {len(given)}"
                raise self._error(operand.position, operand.source, message)
        is_field = isinstance(dot, Record) and name in dot.columns
        why = "has arguments but cannot be invoked as function" if is_field else "is not a method but has arguments"
        message = f"{name} {why}"
        raise self._error(operand.position, operand.source, message)

    def _call(self, command: Command, first: Function, rest: list[Operand], dot: Any, final: Any) -> Any:
        function = self._functions[first.name]
        count = len(rest) + (final is not _NOTHING)
        if count < function.least or (function.most is not None and count > function.most):
            least = "at least " if function.most is None else ""
            message = f"wrong number of args for {first.name}: want {least}{function.least} got {count}"
            raise self._error(first.position, first.name, message)
        if first.name in ("and", "or"):
            return self._short_circuit(first.name, rest, dot, final)
        values = [self._operand(operand, dot) for operand in rest]
        if final is not _NOTHING:
            values.append(final)
        self._check_types(command, function, rest, values)
        try:
            return function.call(*values)
        except ValueError as error:
            message = f"error calling {first.name}: {error}"
            raise self._error(command.position, command.source, message) from None

    def _short_circuit(self, name: str, rest: list[Operand], dot: Any, final: Any) -> Any:
        value: Any = final
        for operand in rest:
            value = self._operand(operand, dot)
            if truth(value) == (name == "or"):
                return value
        return value if final is _NOTHING else final

    def _check_types(
        self, command: Command, function: TemplateFunction, operands: list[Operand], values: list[Any]
    ) -> None:
        for index, value in enumerate(values):
            if index in function.texts and not isinstance(value, str):
                expected = "string"
            elif index in function.numbers and (not isinstance(value, int) or isinstance(value, bool)):
                expected = "int"
            else:
                continue
            position, source = command.position, command.source
            if index < len(operands):
                operand = operands[index]
                position = operand.position
                source = operand.name if isinstance(operand, Variable | Function) else operand.source
            message = f"wrong type for value; expected {expected}; got {type_name(value)}"
            raise self._error(position, source, message)

    def _operand(self, operand: Operand, dot: Any) -> Any:
        if isinstance(operand, Constant):
            return operand.value
        if isinstance(operand, Variable):
            return self._variable(operand.name)
        if isinstance(operand, Pipeline):
            return self._pipeline(operand, dot)
        if isinstance(operand, Function):
            return self._call(Command((operand,), operand.name, operand.position), operand, [], dot, _NOTHING)
        if operand.base is None:
            value = dot
        elif isinstance(operand.base, Variable):
            value = self._variable(operand.base.name)
        else:
            value = self._pipeline(operand.base, dot)
        for name in operand.names:
            value = self._field(operand, name, value)
        return value

    def _variable(self, name: str) -> Any:
        return next(value for known, value in reversed(self._variables) if known == name)

    def _field(self, operand: Field, name: str, value: Any) -> Any:
        if isinstance(value, Record):
            if name in value.columns:
                return value.columns[name]()
            if name in value.methods:
                message = f"wrong number of args for {name}: want 1 got 0"
            else:
                message = f"can't evaluate field {name} in type {value.type_name}"
        elif isinstance(value, TextMap):
            return value.get(name)
        elif isinstance(value, Mapping):
            if name in value:
                member = value[name]
                return nil_of(name) if member is None else member
            message = f'map has no entry for key "{name}"'
        elif value is None:
            message = f'nil data; no entry for key "{name}"'
        else:
            # Of a document docker knows no types; rows and other values have them.
            known = isinstance(self._variables[0][1], Record)
            message = f"can't evaluate field {name} in type {type_name(value) if known else 'interface {}'}"
        raise self._error(operand.position, operand.source, message)

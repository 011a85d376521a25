"""Lists in docker's manner: the default table, ``-q``, and ``--format`` with its ``table`` and ``json`` forms."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from lamina.cli.command import CommandError
from lamina.cli.table import align, table
from lamina.typing import TYPE_CHECKING, Generic, NamedTuple, TextIO, TypeVar

if TYPE_CHECKING:
    from lamina.template import Record

Row = TypeVar("Row")


class Column(NamedTuple, Generic[Row]):
    """One column.

    :ivar name: as templates call it: ``CreatedSince``.
    :ivar title: as the header shows it: ``CREATED``.
    """

    name: str
    title: str
    text: Callable[[Row], object]


class Listing(NamedTuple, Generic[Row]):
    """What a list can show.

    :ivar type_name: Go's type in error texts: ``*formatter.imageContext``.
    :ivar default: names of the default table's columns.
    :ivar labels: of a row, for ``{{.Label "name"}}``.
    """

    type_name: str
    columns: tuple[Column[Row], ...]
    default: tuple[str, ...]
    labels: Callable[[Row], Mapping[str, str]] | None = None

    def write(self, out: TextIO, rows: Iterable[Row], format: str = "") -> None:
        """Write ``rows``; ``format`` is ``--format``'s value, ``""`` or ``table`` for the default table.

        :raises CommandError: the template is wrong.
        """
        if format in ("", "table"):
            by_name = {column.name: column for column in self.columns}
            shown = [by_name[name] for name in self.default]
            lines = list(rows)
            cells = [[str(text(row)) for row in lines] for text in (column.text for column in shown)]
            out.write(table([column.title for column in shown], list(zip(*cells, strict=True))))
        elif format == "json":
            self._write_template(out, rows, "{{json .}}", tabular=False)
        elif format.startswith("table"):
            self._write_template(out, rows, format.removeprefix("table").strip(), tabular=True)
        else:
            self._write_template(out, rows, format, tabular=False)

    def write_column(self, out: TextIO, rows: Iterable[Row], name: str) -> None:
        """One column without header: ``-q``."""
        column = next(column for column in self.columns if column.name == name)
        out.writelines(f"{column.text(row)}\n" for row in rows)

    def check(self, source: str, type_name: str) -> None:
        """What docker's ``ps`` says of a template before it asks for containers. Raises :class:`CommandError`."""
        from lamina.template import Record, TemplateError, TemplateSyntaxError, parse

        methods = None if self.labels is None else {"Label": lambda name: ""}
        try:
            template = parse(source)
        except TemplateSyntaxError as error:
            raise CommandError(f"failed to parse template: {error}") from None
        try:
            template.execute(Record({column.name: lambda: "" for column in self.columns}, type_name, methods))
        except TemplateError as error:
            raise CommandError(f"failed to execute template: {error}") from None

    def _record(self, row: Row) -> Record:
        from lamina.template import Record

        labels = self.labels
        methods = None if labels is None else {"Label": lambda name: labels(row).get(name, "")}
        return Record(_computed(self.columns, row), self.type_name, methods)

    def _write_template(self, out: TextIO, rows: Iterable[Row], source: str, *, tabular: bool) -> None:
        from lamina.template import TemplateError, TemplateSyntaxError, parse

        source = source.replace("\\t", "\t").replace("\\n", "\n")
        try:
            template = parse(source)
            lines = [template.execute(self._record(row)) for row in rows]
            if tabular:
                lines.insert(0, template.header({column.name: column.title for column in self.columns}))
        except (TemplateSyntaxError, TemplateError) as error:
            raise CommandError(f"template parsing error: {error}") from None
        text = "".join(line + "\n" for line in lines)
        out.write(align(text) if tabular else text)


def _computed(columns: Sequence[Column[Row]], row: Row) -> dict[str, Callable[[], object]]:
    return {column.name: lambda column=column: column.text(row) for column in columns}  # type: ignore[misc] # mypy can't infer a lambda's default


def print_document(out: TextIO, document: object, format: str) -> None:
    """One document through ``--format``: ``json`` or a template, as ``info`` shows it.

    :raises CommandError: the template is wrong.
    """
    from lamina.template import TemplateError, TemplateSyntaxError, parse

    try:
        out.write(parse("{{json .}}" if format == "json" else format).execute(document) + "\n")
    except TemplateSyntaxError as error:
        raise CommandError(f"template parsing error: {error}", 64) from None
    except TemplateError as error:
        raise CommandError(f"template parsing error: {error}") from None

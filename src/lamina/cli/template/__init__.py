"""Go's ``text/template``, the part that ``--format`` needs, with Go's results and error texts.

Pipelines, variables, ``if``, ``else if``, ``range``, ``with``, ``break``, ``continue``, comments, trim markers, Go's
functions and docker's (``json join lower pad split title truncate upper``). Not there: ``define``, ``template``,
``block``.

>>> parse('{{range .Tags}}{{upper .}} {{end}}').execute({"Tags": ["a", "b"]})
'A B '
"""

from __future__ import annotations

from lamina.cli.template.evaluate import Template, TemplateError
from lamina.cli.template.parser import TemplateSyntaxError, parse_nodes
from lamina.cli.template.values import GoTime, Record

__all__ = ["GoTime", "Record", "Template", "TemplateError", "TemplateSyntaxError", "parse"]


def parse(text: str) -> Template:
    """:raises TemplateSyntaxError: with Go's message."""
    return Template(parse_nodes(text))

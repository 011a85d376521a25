"""Go's ``text/template``, the part that ``--format`` and tags of logs need, with Go's results and error texts.

Pipelines, variables, ``if``, ``else if``, ``range``, ``with``, ``break``, ``continue``, comments, trim markers, Go's
functions and docker's (``json join lower pad split title truncate upper``). Not there: ``define``, ``template``,
``block``.

>>> parse('{{range .Tags}}{{upper .}} {{end}}').execute({"Tags": ["a", "b"]})
'A B '
"""

from __future__ import annotations

from lamina.template.evaluate import Template, TemplateError
from lamina.template.parser import TemplateSyntaxError, parse_nodes
from lamina.template.values import GoTime, Record, TextMap

__all__ = ["GoTime", "Record", "Template", "TemplateError", "TemplateSyntaxError", "TextMap", "parse"]


def parse(text: str, name: str = "") -> Template:
    """A template that can be executed.

    :param name: what messages call it.
    :raises TemplateSyntaxError: with Go's message.
    """
    return Template(text, parse_nodes(text, name), name)

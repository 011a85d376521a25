"""Help texts in docker's layout. Imported only when one is shown."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec

from lamina.cli.command import PROGRAM, Command
from lamina.cli.flags import Flag
from lamina.cli.verbs import GROUPS, VERBS

_DEFAULT_WIDTH = 80
_NARROW = 24
_BLOCK_INDENT = 16
_SLOP = 5


def program_help(flags: Sequence[Flag]) -> str:
    """``lamina --help``."""
    groups = {name: group.summary for name, group in sorted(GROUPS.items()) if _summaries(group.verbs)}
    return (
        f"\nUsage:  {PROGRAM} [OPTIONS] COMMAND\n\nA self-sufficient runtime for containers\n\n"
        f"Options:\n{_flag_lines(flags)}\n"
        f"Management Commands:\n{_verb_lines(groups)}\n"
        f"Commands:\n{_verb_lines(_summaries(VERBS))}\n"
        f"Run '{PROGRAM} COMMAND --help' for more information on a command.\n"
    )


def group_help(name: str) -> str:
    """``lamina image --help``."""
    group = GROUPS[name]
    return (
        f"\nUsage:  {PROGRAM} {name} COMMAND\n\n{group.summary}\n\n"
        f"Commands:\n{_verb_lines(_summaries(group.verbs))}\n"
        f"Run '{PROGRAM} {name} COMMAND --help' for more information on a command.\n"
    )


def verb_help(command: Command, path: str) -> str:
    """``lamina image ls --help``."""
    head = f"Usage:  {PROGRAM} {path} {command.usage}".rstrip()
    parts = [f"\n{head}\n\n{command.description or command.summary}\n"]
    aliases = _aliases(path)
    if aliases:
        parts.append(f"\nAliases:\n  {', '.join(aliases)}\n")
    lines = _flag_lines(command.flags)
    if lines:
        parts.append(f"\nOptions:\n{lines}")
    return "".join(parts)


def _aliases(path: str) -> list[str]:
    group_name, _, verb = path.partition(" ")
    if not verb:
        return []
    others = [alias for alias, target in GROUPS[group_name].aliases.items() if target == verb]
    return [verb, *others] if others else []


def _summaries(verbs: dict[str, str]) -> dict[str, str]:
    found = {}
    for verb, module_name in sorted(verbs.items()):
        if find_spec(f"lamina.cli.{module_name}") is not None:
            found[verb] = import_module(f"lamina.cli.{module_name}").COMMAND.summary
    return found


def _verb_lines(summaries: dict[str, str]) -> str:
    return "".join(f"  {verb:<11} {summary}\n" for verb, summary in summaries.items())


def _flag_lines(flags: Sequence[Flag]) -> str:
    """Two columns, the second wrapped to the terminal as pflag wraps it."""
    visible = sorted((flag for flag in flags if not flag.hidden), key=lambda flag: flag.name)
    if not visible:
        return ""
    left = [_flag_head(flag) for flag in visible]
    column = max(len(head) for head in left) + 3
    width = _terminal_width() - 1
    lines = []
    for head, flag in zip(left, visible, strict=True):
        words = flag.help + (f" (default {flag.shown_default})" if flag.shown_default else "")
        lines.append(f"{head:<{column}}{_wrap(column, width, words)}\n")
    return "".join(lines)


def _flag_head(flag: Flag) -> str:
    head = f"  -{flag.short}, --{flag.name}" if flag.short else f"      --{flag.name}"
    return f"{head} {flag.type_name}" if flag.type_name else head


def _terminal_width() -> int:
    try:
        return os.get_terminal_size(0).columns or _DEFAULT_WIDTH
    except OSError:
        return _DEFAULT_WIDTH


def _wrap(indent: int, width: int, words: str) -> str:
    """``words`` in lines that end before column ``width``; lines after the first start at column ``indent``."""
    lines = []
    room = width - indent
    if room < _NARROW:
        indent = _BLOCK_INDENT
        room = width - indent
        lines.append("")
    if room < _NARROW:
        return words.replace("\n", "\n" + " " * indent)
    rest = words
    while rest:
        line, rest = _take_line(room - _SLOP, rest)
        lines.append(line)
    return ("\n" + " " * indent).join("\n".join(lines).split("\n"))


def _take_line(length: int, words: str) -> tuple[str, str]:
    """One line of about ``length``; a few more characters are better than an orphan word."""
    if len(words) < length + _SLOP:
        return words, ""
    head = words[:length]
    blank = max(head.rfind(character) for character in " \t\n")
    if blank <= 0:
        return words, ""
    newline = head.rfind("\n")
    cut = newline if 0 < newline < blank else blank
    return words[:cut], words[cut + 1 :]

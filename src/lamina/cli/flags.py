"""The flag grammar of docker's command line (pflag's), and the texts of its errors.

``--name=value``, ``--name value``, ``-n value``, ``-nvalue``, ``-n=value``, switches combined as ``-aq``,
``--switch=false``, ``--`` ends the flags, ``-`` is an argument. With *interspersed* arguments flags may follow
arguments; without, the first argument ends the flags (``run``, where the rest belongs to the container).
"""

from collections.abc import Callable, Collection, Iterable, Sequence

from lamina.errors import InvalidArgument
from lamina.typing import NamedTuple


class FlagError(InvalidArgument):
    """The flags don't parse. The message is pflag's."""


class Flag(NamedTuple):
    """One flag of a verb; made by the functions below.

    :ivar parse: text to value; raises ``ValueError`` with the reason. ``None`` for a switch.
    :ivar type_name: the word that help shows for the value: ``string``, ``list``, ``bytes``.
    :ivar default: the value when the flag is absent; a repeatable flag's is ``[]``.
    :ivar shown_default: what help says in ``(default ...)``, ``""`` for nothing.
    :ivar into: name of the flag that this one is another spelling of.
    """

    name: str
    help: str
    parse: Callable[[str], object] | None
    type_name: str
    default: object
    short: str = ""
    shown_default: str = ""
    repeatable: bool = False
    hidden: bool = False
    into: str = ""

    @property
    def key(self) -> str:
        """The name that :class:`~lamina.cli.command.Options` keeps the value under."""
        return self.into or self.name

    @property
    def spelling(self) -> str:
        """The flag as error messages name it: ``-q, --quiet``."""
        return f"-{self.short}, --{self.name}" if self.short else f"--{self.name}"


def switch(
    name: str, help: str, *, short: str = "", default: bool = False, hidden: bool = False, into: str = ""
) -> Flag:
    """A boolean: ``--quiet``, ``--quiet=false``."""
    shown = "true" if default else ""
    return Flag(name, help, None, "", default, short, shown, hidden=hidden, into=into)


def text(
    name: str,
    help: str,
    *,
    short: str = "",
    default: str = "",
    type_name: str = "string",
    parse: Callable[[str], object] = str,
    hidden: bool = False,
    into: str = "",
) -> Flag:
    """One text; given twice, the last one counts. ``parse`` may check or convert it."""
    shown = f'"{default}"' if default else ""
    return Flag(name, help, parse, type_name, default, short, shown, hidden=hidden, into=into)


def texts(
    name: str,
    help: str,
    *,
    short: str = "",
    type_name: str = "list",
    shown_default: str = "",
    parse: Callable[[str], object] = str,
    hidden: bool = False,
    into: str = "",
) -> Flag:
    """A flag that may be given many times; its value is a list."""
    return Flag(name, help, parse, type_name, [], short, shown_default, True, hidden, into)


def integer(
    name: str, help: str, *, short: str = "", default: int = 0, type_name: str = "int", hidden: bool = False
) -> Flag:
    """A whole number in Go's notation: decimal, ``0x``, ``0o``, ``0b``."""
    shown = str(default) if default else ""
    return Flag(name, help, parse_integer, type_name, default, short, shown, hidden=hidden)


def filters(name: str = "filter", help: str = "Filter output based on conditions provided", short: str = "f") -> Flag:
    """``--filter name=value``; the value is a list of pairs, empty texts left out."""
    return Flag(name, help, parse_filter, "filter", [], short, repeatable=True)


def check_filters(given: Iterable[str], known: Collection[str]) -> None:
    """Raises :class:`InvalidArgument` for a filter that the verb does not have."""
    for name in given:
        if name not in known:
            raise InvalidArgument(f"Invalid filter '{name}'")


_TRUE = frozenset(("1", "t", "T", "TRUE", "true", "True"))
_FALSE = frozenset(("0", "f", "F", "FALSE", "false", "False"))
_INTEGER_LIMIT = 1 << 63


def parse_boolean(value: str) -> bool:
    """Go's ``strconv.ParseBool``."""
    if value in _TRUE:
        return True
    if value in _FALSE:
        return False
    raise ValueError(f'strconv.ParseBool: parsing "{value}": invalid syntax')


def parse_integer(value: str) -> int:
    """Go's ``strconv.ParseInt`` with base 0: 64 bits, a leading ``0`` means octal."""
    digits = value[1:] if value[:1] in ("+", "-") else value
    octal = len(digits) > 1 and digits[0] == "0" and digits[1].isdigit()
    try:
        if not digits[:1].isdigit() or not digits.isascii() or digits[-1].isspace():
            raise ValueError
        number = int(digits, 8 if octal else 0)
    except ValueError:
        raise ValueError(f'strconv.ParseInt: parsing "{value}": invalid syntax') from None
    number = -number if value[0] == "-" else number
    if not -_INTEGER_LIMIT <= number < _INTEGER_LIMIT:
        raise ValueError(f'strconv.ParseInt: parsing "{value}": value out of range')
    return number


def parse_filter(value: str) -> tuple[str, str] | None:
    """``name=value`` of ``--filter``; ``None`` for an empty text, which docker ignores."""
    if not value:
        return None
    name, equals, wanted = value.partition("=")
    if not equals:
        raise ValueError("bad format of filter (expected name=value)")
    return name.strip().lower(), wanted.strip()


class Parsed(NamedTuple):
    """What a command line says.

    :ivar values: by flag name, defaults included.
    :ivar given: names of the flags that were there.
    """

    values: dict[str, object]
    given: frozenset[str]
    arguments: list[str]


class Parser:
    """Parses one command line against ``flags``."""

    def __init__(self, flags: Sequence[Flag], *, interspersed: bool = True) -> None:
        self._by_name = {flag.name: flag for flag in flags}
        self._by_short = {flag.short: flag for flag in flags if flag.short}
        self._interspersed = interspersed
        self._values: dict[str, object] = {}
        for flag in flags:
            self._values.setdefault(flag.key, [] if flag.repeatable else flag.default)
        self._given: set[str] = set()

    def parse(self, words: Sequence[str]) -> Parsed:
        """:raises FlagError: with pflag's message."""
        rest = list(reversed(words))
        arguments: list[str] = []
        while rest:
            word = rest.pop()
            if word == "--":
                arguments.extend(reversed(rest))
                break
            if len(word) < 2 or word[0] != "-":
                arguments.append(word)
                if not self._interspersed:
                    arguments.extend(reversed(rest))
                    break
            elif word.startswith("--"):
                self._long(word, rest)
            else:
                self._short(word, rest)
        return Parsed(self._values, frozenset(self._given), arguments)

    def _long(self, word: str, rest: list[str]) -> None:
        name, equals, value = word[2:].partition("=")
        if not name or name[0] in "-=":
            raise FlagError(f"bad flag syntax: {word}")
        flag = self._by_name.get(name)
        if flag is None:
            raise FlagError(f"unknown flag: --{name}")
        if equals:
            self._set(flag, value)
        elif flag.parse is None:
            self._set(flag, "true")
        elif rest:
            self._set(flag, rest.pop())
        else:
            raise FlagError(f"flag needs an argument: {word}")

    def _short(self, word: str, rest: list[str]) -> None:
        letters = word[1:]
        while letters:
            remaining = f"-{letters}"
            letter, letters = letters[0], letters[1:]
            flag = self._by_short.get(letter)
            if flag is None:
                raise FlagError(f"unknown shorthand flag: '{letter}' in {remaining}")
            if len(letters) > 1 and letters[0] == "=":
                self._set(flag, letters[1:])
                return
            if flag.parse is None:
                self._set(flag, "true")
                continue
            if letters:
                self._set(flag, letters)
                return
            if not rest:
                raise FlagError(f"flag needs an argument: '{letter}' in {remaining}")
            self._set(flag, rest.pop())

    def _set(self, flag: Flag, value: str) -> None:
        try:
            parsed = parse_boolean(value) if flag.parse is None else flag.parse(value)
        except ValueError as error:
            raise FlagError(f'invalid argument "{value}" for "{flag.spelling}" flag: {error}') from None
        self._given.add(flag.key)
        if not flag.repeatable:
            self._values[flag.key] = parsed
        elif parsed is not None:
            values = self._values[flag.key]
            assert isinstance(values, list)
            values.append(parsed)

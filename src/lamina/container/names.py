"""Names of containers: their grammar, and random ones."""

from __future__ import annotations

import os

from lamina.characters import is_name
from lamina.errors import Conflict, InvalidArgument


def _words(text: str) -> list[str]:
    return text.split()


_MOODS = _words(
    "agile amber ample bold brave breezy bright brisk calm candid clever cosy crisp daring deft eager earnest easy "
    "exact fair fearless fluent frank gentle glad golden graceful hardy honest humble jolly keen kind lively lucid "
    "mellow merry mild modest neat nimble noble patient placid plucky polite proud quick quiet ready robust sharp "
    "silent sincere smooth snug spry steady sturdy subtle sunny sure tidy tranquil upbeat vivid warm wise witty zesty"
)
_PEOPLE = _words(
    "abel agnesi archimedes babbage banach bernoulli bohr boole cantor cauchy chandra church codd curie darwin dirac "
    "einstein erdos euclid euler faraday fermat fermi feynman fourier galileo galois gauss germain goedel goodall "
    "hamilton herschel hilbert hopper huygens hypatia jacobi kepler knuth kovalevskaya lagrange laplace leibniz "
    "liskov lovelace maxwell mendel minkowski mirzakhani newton noether pascal pasteur planck poincare ramanujan "
    "riemann ritchie shannon tesla thompson turing volta wiles wozniak"
)


class InvalidName(InvalidArgument):
    """The text can't be a container's name."""

    def __init__(self, text: str) -> None:
        super().__init__(f"Invalid container name ({text}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed")


class NameInUse(Conflict):
    """Another container has the name."""

    def __init__(self, name: str, id: str) -> None:
        super().__init__(
            f'Conflict. The container name "/{name}" is already in use by container "{id}". '
            "You have to remove (or rename) that container to be able to reuse that name."
        )


def check(text: str) -> str:
    """The name without a leading slash. Raises :class:`InvalidName`."""
    if not is_name(text.removeprefix("/")):
        raise InvalidName(text)
    return text.removeprefix("/")


def suggest(attempt: int = 0) -> str:
    """A random name of two words; with a number behind from the first repetition on."""
    dice = os.urandom(3)
    number = str(dice[2] % 10) if attempt else ""
    return f"{_MOODS[dice[0] % len(_MOODS)]}_{_PEOPLE[dice[1] % len(_PEOPLE)]}{number}"

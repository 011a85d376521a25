"""The rules of ``build --check``: Docker's names, texts and options (buildkit's ``frontend/dockerfile/linter``)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from lamina.dockerfile.directives import parse_directive
from lamina.dockerfile.failure import InvalidInstruction
from lamina.dockerfile.instructions import Location
from lamina.typing import NamedTuple

_EXPERIMENTAL = ("InvalidDefinitionDescription",)
_WORD_ENDS = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_TRUE = ("1", "t", "T", "TRUE", "true", "True")
_FALSE = ("0", "f", "F", "FALSE", "false", "False")

#: What each rule is about, by name.
DESCRIPTIONS = {
    "ConsistentInstructionCasing": (
        "All commands within the Dockerfile should use the same casing (either upper or lower)"
    ),
    "CopyIgnoredFile": "Attempting to Copy file that is excluded by .dockerignore",
    "DuplicateStageName": "Stage names should be unique",
    "ExposeInvalidFormat": (
        "IP address and host-port mapping should not be used in EXPOSE instruction. "
        "This will become an error in a future release"
    ),
    "ExposeProtoCasing": "Protocol in EXPOSE instruction should be lowercase",
    "FromAsCasing": "The 'as' keyword should match the case of the 'from' keyword",
    "FromPlatformFlagConstDisallowed": "FROM --platform flag should not use a constant value",
    "InvalidBaseImagePlatform": "Base image platform does not match expected target platform",
    "InvalidDefaultArgInFrom": "Default value for global ARG results in an empty or invalid base image name",
    "InvalidDefinitionDescription": (
        "Comment for build stage or argument should follow the format: `# <arg/stage name> <description>`. "
        "If this is not intended to be a description comment, add an empty line or comment between the instruction "
        "and the comment."
    ),
    "JSONArgsRecommended": (
        "JSON arguments recommended for ENTRYPOINT/CMD to prevent unintended behavior related to OS signals"
    ),
    "LegacyKeyValueFormat": "Legacy key/value format with whitespace separator should not be used",
    "MaintainerDeprecated": ("The MAINTAINER instruction is deprecated, use a label instead to define an image author"),
    "MultipleInstructionsDisallowed": "Multiple instructions of the same type should not be used in the same stage",
    "NoEmptyContinuation": "Empty continuation lines will become errors in a future release",
    "RedundantTargetPlatform": (
        "Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default behavior"
    ),
    "ReservedStageName": "Reserved words should not be used as stage names",
    "SecretsUsedInArgOrEnv": "Sensitive data should not be used in the ARG or ENV commands",
    "StageNameCasing": "Stage names should be lowercase",
    "UndefinedArgInFrom": "FROM command must use declared ARGs",
    "UndefinedVar": "Variables should be defined before their use",
    "WorkdirRelativePath": (
        "Relative workdir without an absolute workdir declared within the build can have unexpected results if the "
        "base image changes"
    ),
}


class Finding(NamedTuple):
    """Something that a rule does not like. ``message`` is about the place, ``description`` about the rule."""

    rule: str
    message: str
    location: Location

    @property
    def description(self) -> str:
        return DESCRIPTIONS[self.rule]

    @property
    def url(self) -> str:
        """Docker's page about the rule; none for the one that has no page."""
        if self.rule == "InvalidBaseImagePlatform":
            return ""
        return f"https://docs.docker.com/go/dockerfile/rule/{_WORD_ENDS.sub('-', self.rule).lower()}/"


class Options(NamedTuple):
    """Which rules count, by name or ``all``, and whether findings are an error."""

    skip: frozenset[str] = frozenset()
    experimental: frozenset[str] = frozenset()
    error: bool = False

    def wants(self, rule: str) -> bool:
        """Whether findings of ``rule`` are reported."""
        if rule in _EXPERIMENTAL:
            return bool(self.experimental & {rule, "all"})
        return not self.skip & {rule, "all"}

    def with_comments(self, comments: Sequence[str]) -> Options:
        """These options with those of a ``# check=...`` among the comments above an instruction."""
        for comment in comments:
            directive = parse_directive(comment)
            if directive is None or directive[0] != "check":
                continue
            try:
                more = parse_options(directive[1].partition(" ")[0])
            except InvalidInstruction:
                return self
            return self._replace(skip=self.skip | more.skip, experimental=self.experimental | more.experimental)
        return self


def parse_options(text: str) -> Options:
    """The value of the ``check`` directive: ``skip=A,B;experimental=all;error=true``.

    Raises :class:`InvalidInstruction`.
    """
    options = Options()
    for part in text.strip().split(";", 2) if text.strip() else []:
        key, equals, value = part.partition("=")
        key, value = key.strip(), value.strip()
        if not equals:
            raise InvalidInstruction(f'invalid check option "{part}"')
        names = frozenset(name.strip() for name in value.split(","))
        if key == "skip":
            options = options._replace(skip=names)
        elif key == "experimental":
            options = options._replace(experimental=names)
        elif key != "error":
            raise InvalidInstruction(f'invalid check option "{key}"')
        elif value not in (*_TRUE, *_FALSE):
            raise InvalidInstruction(f'failed to parse check option "{part}": invalid syntax')
        else:
            options = options._replace(error=value in _TRUE)
    return options

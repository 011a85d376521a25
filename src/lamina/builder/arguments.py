"""Build arguments: which names a stage knows, and what they are.

Rules: Docker 20.10 (``builder/dockerfile/buildargs.go``), and BuildKit's platform arguments in the global scope.
"""

from __future__ import annotations

from collections.abc import Mapping

from lamina.oci.platform import Platform

#: Known to every stage without ``ARG``; they leave no trace in an image unless a stage declares them.
PREDEFINED = frozenset(
    name
    for upper in ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY")
    for name in (upper, upper.lower())
)


#: Arguments that are said to the builder itself.
_OF_THE_BUILDER = ("BUILDKIT_", "SOURCE_DATE_EPOCH")


def platform_arguments(build: Platform, target: Platform) -> dict[str, str]:
    """``BUILDPLATFORM``, ``TARGETARCH`` and so on."""
    found = {}
    for prefix, platform in (("BUILD", build), ("TARGET", target)):
        words = [platform.os, platform.architecture, platform.variant]
        found[f"{prefix}PLATFORM"] = "/".join(word for word in words if word)
        found[f"{prefix}OS"], found[f"{prefix}ARCH"], found[f"{prefix}VARIANT"] = words
    return found


class BuildArguments:
    """What the whole build shares: the command line's arguments and those before the first ``FROM``."""

    def __init__(self, given: Mapping[str, str], automatic: Mapping[str, str]) -> None:
        self.given = dict(given)
        self.used: set[str] = set()
        self._global: dict[str, str | None] = dict(automatic)

    def declare_global(self, name: str, default: str | None) -> None:
        """An ``ARG`` before the first ``FROM``."""
        if name in self.given:
            self.used.add(name)
            self._global[name] = self.given[name]
        elif default is not None or name not in self._global:
            self._global[name] = default

    @property
    def globals(self) -> dict[str, str]:
        """Variables of a ``FROM`` line."""
        return {name: value for name, value in self._global.items() if value is not None}

    def global_value(self, name: str) -> str | None:
        return self._global.get(name)

    def unused(self) -> list[str]:
        """Given arguments that nothing declared, sorted."""
        return sorted(name for name in set(self.given) - self.used - PREDEFINED if not name.startswith(_OF_THE_BUILDER))


class StageArguments:
    """What one stage declared so far."""

    def __init__(self, shared: BuildArguments) -> None:
        self._shared = shared
        self._declared: dict[str, str | None] = {}

    def declare(self, name: str, default: str | None) -> None:
        self._declared[name] = default
        self._shared.used.add(name)

    def given(self, name: str) -> str | None:
        """What the command line says that it is."""
        return self._shared.given.get(name)

    def inherit(self, below: StageArguments) -> None:
        """What the stage knows that this one begins with is known here."""
        self._declared.update(below._declared)

    def copied(self) -> StageArguments:
        """The same, to go on apart from it."""
        copied = StageArguments(self._shared)
        copied.inherit(self)
        return copied

    def values(self) -> dict[str, str]:
        """Name to value of everything that has one."""
        found = {}
        for name in (*PREDEFINED, *self._declared):
            value = self._value(name)
            if value is not None:
                found[name] = value
        return found

    def _value(self, name: str) -> str | None:
        if name in self._shared.given:
            return self._shared.given[name]
        default = self._declared.get(name)
        if default is None and name in self._declared:
            return self._shared.global_value(name)
        return default

    def environment(self, configured: Mapping[str, str]) -> dict[str, str]:
        """What ``RUN`` sees beside the stage's ``ENV``, which wins."""
        return {name: value for name, value in self.values().items() if name not in configured}

    def visible(self, configured: Mapping[str, str]) -> list[str]:
        """``NAME=value`` of what counts for the history and the cache: all but proxies that nobody declared."""
        wanted = self.environment(configured)
        return sorted(
            f"{name}={value}" for name, value in wanted.items() if name not in PREDEFINED or name in self._declared
        )

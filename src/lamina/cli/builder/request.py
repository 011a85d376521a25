"""From the flags of ``lamina build`` to what is to be built."""

from __future__ import annotations

import os

from lamina.cli.builder.failure import wants_kept
from lamina.cli.builder.limits import host_config
from lamina.cli.command import CommandError, Context, Options
from lamina.reference import Reference
from lamina.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lamina.builder.cacheoptions import CacheExport, CacheImport
    from lamina.builder.context import Context as BuildContext
    from lamina.builder.keyfile import KeyFile
    from lamina.builder.remotecontext import Surroundings
    from lamina.builder.request import BuildRequest
    from lamina.oci.platform import Platform

_EPOCH = "SOURCE_DATE_EPOCH"
_ENTITLEMENTS = ("network.host", "security.insecure")


def requested(context: Context, options: Options, prepared: BuildContext, tags: tuple[Reference, ...]) -> BuildRequest:
    """What the flags of ``build`` ask for."""
    from lamina.builder.request import BuildRequest

    arguments = _pairs(options.texts("build-arg"), context)
    if options.text("network") not in ("default", "host", "none"):
        raise CommandError(f'network mode "{options.text("network")}" not supported by this version')
    return BuildRequest(
        prepared.dockerfile,
        prepared.name,
        prepared.path,
        prepared.ignored,
        prepared.remembered,
        contexts=_contexts(options.texts("build-context")),
        arguments=arguments,
        target=options.text("target"),
        tags=tags,
        labels={name: value for name, _, value in (label.partition("=") for label in options.texts("label"))},
        no_cache=options.on("no-cache"),
        pull=options.on("pull"),
        network=options.text("network"),
        platform=_platform(options.text("platform")),
        epoch=_epoch(arguments.get(_EPOCH) or context.environment.get(_EPOCH)),
        cache_from=_cache_imports(options.texts("cache-from")),
        cache_to=_cache_exports([*options.texts("cache-to"), *_inline(arguments)]),
        squash=options.on("squash"),
        keep_failed=wants_kept(options),
        advise=options.on("advise"),
        secrets=_secrets(options.texts("secret"), context),
        agents=_agents(options.texts("ssh"), context),
        limits=host_config(context, options),
        allowed=_allowed(options.texts("allow")),
    )


def _cache_imports(words: list[str]) -> tuple[CacheImport, ...]:
    if not words:
        return ()
    from lamina.builder.cacheoptions import parse_imports

    return tuple(wanted for word in words for wanted in parse_imports(word))


def _cache_exports(words: list[str]) -> tuple[CacheExport, ...]:
    if not words:
        return ()
    from lamina.builder.cacheoptions import parse_export

    return tuple(map(parse_export, words))


def _secrets(words: list[str], context: Context) -> dict[str, bytes]:
    if not words:
        return {}
    from lamina.cli.builder.secrets import secret

    return dict(secret(word, context) for word in words)


def _agents(words: list[str], context: Context) -> dict[str, str | tuple[KeyFile, ...]]:
    if not words:
        return {}
    from lamina.cli.builder.secrets import agent

    return dict(agent(word, context) for word in words)


def _allowed(words: list[str]) -> frozenset[str]:
    for word in words:
        if word not in _ENTITLEMENTS:
            raise CommandError(f"invalid entitlement {word}: choose one of {', '.join(_ENTITLEMENTS)}")
    return frozenset(words)


def _inline(arguments: dict[str, str]) -> list[str]:
    """``--build-arg BUILDKIT_INLINE_CACHE=1``, the older way to ask for it."""
    return ["type=inline"] if arguments.get("BUILDKIT_INLINE_CACHE", "").lower() in ("1", "t", "true") else []


def surroundings(context: Context, options: Options) -> Surroundings:
    """How a build reaches what is elsewhere."""
    from lamina.builder.remotecontext import Surroundings

    engine = context.engine()
    arguments = _pairs(options.texts("build-arg"), context)
    return Surroundings(lambda: engine.registry.settings, arguments, context.environment.get("SSH_AUTH_SOCK", ""))


def _pairs(words: list[str], context: Context) -> dict[str, str]:
    """``NAME=value``; a name alone takes the value from the environment, and none that is not there."""
    found = {}
    for word in words:
        name, equals, value = word.partition("=")
        if equals:
            found[name] = value
        elif name in context.environment:
            found[name] = context.environment[name]
    return found


def _contexts(words: list[str]) -> dict[str, str]:
    if not words:
        return {}
    from lamina.builder.namedcontexts import is_local

    found = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not (name and equals and value):
            raise CommandError(f"invalid context value: {word}, expected key=value")
        if is_local(value) and not os.path.isdir(value):
            raise CommandError(f"failed to find local path {value}: no such directory")
        found[name.lower()] = value
    return found


def _platform(text: str) -> Platform | None:
    if "," in text:
        raise CommandError(f"multi-platform build is not supported: choose one of {text}")
    from lamina.oci.platform import from_text

    return from_text(text) if text else None


def _epoch(value: str | None) -> int | None:
    if not value:
        return None
    if not (value.isascii() and value.isdigit()) or len(value) > 11:
        raise CommandError(f"invalid {_EPOCH}: {value}")
    return int(value)

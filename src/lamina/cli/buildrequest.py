"""From the flags of ``lamina build`` to what is to be built."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from lamina.cli.buildfailure import wants_kept
from lamina.cli.command import CommandError, Context, Options
from lamina.errors import InvalidArgument
from lamina.reference import Reference

if TYPE_CHECKING:
    from lamina.builder.context import Context as BuildContext
    from lamina.builder.remotecontext import Surroundings
    from lamina.builder.request import BuildRequest
    from lamina.oci.platform import Platform

_EPOCH = "SOURCE_DATE_EPOCH"
_SECRET_LIMIT = 500 << 10


def requested(context: Context, options: Options, prepared: BuildContext, tags: tuple[Reference, ...]) -> BuildRequest:
    """What the flags of ``build`` ask for."""
    from lamina.builder.cacheoptions import parse_export, parse_imports
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
        cache_from=tuple(wanted for word in options.texts("cache-from") for wanted in parse_imports(word)),
        cache_to=tuple(map(parse_export, options.texts("cache-to"))),
        squash=options.on("squash"),
        keep_failed=wants_kept(options),
        secrets=dict(_secret(word, context) for word in options.texts("secret")),
    )


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


def _secret(word: str, context: Context) -> tuple[str, bytes]:
    """``id=NAME[,src=PATH|,env=NAME]``."""
    fields = dict(field.partition("=")[::2] for field in word.split(","))
    name = fields.get("id", "")
    if not name or set(fields) - {"id", "src", "source", "env", "type"}:
        raise CommandError(f"invalid secret: {word}")
    source = fields.get("src") or fields.get("source")
    if source is None and (fields.get("env") or name) in context.environment:
        return name, context.environment[fields.get("env") or name].encode("utf-8", "surrogateescape")
    try:
        with open(source or name, "rb") as file:
            content = file.read(_SECRET_LIMIT + 1)
    except OSError as error:
        raise CommandError(f"failed to stat {source or name}: {os.strerror(error.errno or 0).lower()}") from None
    if len(content) > _SECRET_LIMIT:
        raise InvalidArgument(f"secret {name} too big: at most 500KB")
    return name, content

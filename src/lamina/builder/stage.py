"""One stage while it is built: its configuration, its layers, its history."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Mapping

from lamina import json
from lamina.builder.arguments import BuildArguments, StageArguments
from lamina.builder.cache import Step
from lamina.digest import ChainID, DiffID, ImageID
from lamina.dockerfile.instructions import Location
from lamina.image.contract import Image
from lamina.oci.platform import Platform
from lamina.typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from lamina.builder.distant import AnyLayer

_DEFAULT_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Done(NamedTuple):
    """A step that a stage has behind it.

    :ivar layer: the one on top after it.
    :ivar location: of its instruction.
    """

    step: Step
    layer: AnyLayer | None
    location: Location


class StageState:
    """What the next instruction of a stage starts from.

    :ivar modern: whether BuildKit decides where Docker's two builders leave different images, because the Dockerfile
        names one of its frontends (``# syntax=``).
    :ivar config: the image's ``config``, Docker's members.
    :ivar key: the cache key of the step that made all this.
    :ivar layer: the top layer, complete, in the making or elsewhere; ``None`` for an empty tree.
    :ivar history: entries as they stand in the image's configuration.
    :ivar trail: the steps so far, those of the stages below included.
    :ivar cached: whether every step so far came from the cache.
    """

    def __init__(self, shared: BuildArguments, platform: Platform, *, modern: bool = False) -> None:
        self.arguments = StageArguments(shared)
        self.platform = platform
        self.modern = modern
        self.base: Image | None = None
        self.config: dict[str, Any] = {}
        self.author = ""
        self.created = ""
        self.command_set = False
        self.key = ""
        self.layer: AnyLayer | None = None
        self.trail: list[Done] = []
        self.diff_ids: list[DiffID] = []
        self.history: list[dict[str, Any]] = []
        self.container_config: dict[str, Any] = {}
        self.cached = True

    def copied(self) -> StageState:
        """The same with a configuration and arguments of its own, to see what instructions would do to them."""
        copied = copy.copy(self)
        copied.config = copy.deepcopy(self.config)
        copied.arguments = self.arguments.copied()
        return copied

    @property
    def chain(self) -> ChainID | None:
        return self.layer.chain_id if self.layer is not None else None

    @property
    def base_id(self) -> ImageID | None:
        return self.base.id if self.base is not None else None

    def begin(self, image: Image, layer: AnyLayer | None) -> None:
        """``FROM`` an image that exists."""
        document = image.config.document
        self.base = image
        self.config = copy.deepcopy(image.config.config)
        self.author = str(document.get("author") or "")
        self.created = image.config.created
        self.layer = layer
        self.diff_ids = list(image.config.diff_ids)
        self.history = copy.deepcopy(document.get("history") or [])
        self.platform = image.config.platform
        self.key = digest_of("FROM", image.id, str(self.platform))
        self._start()

    def begin_empty(self) -> None:
        """``FROM scratch``."""
        self.key = digest_of("FROM", "scratch", str(self.platform))
        if self.modern:
            self.config["WorkingDir"] = "/"
        self._start()

    def begin_stage(self, below: StageState) -> None:
        """``FROM`` an earlier stage."""
        self.base = below.base
        self.config = copy.deepcopy(below.config)
        self.author, self.created = below.author, below.created
        self.layer = below.layer
        self.trail = list(below.trail)
        self.arguments.inherit(below.arguments)
        self.diff_ids = list(below.diff_ids)
        self.history = copy.deepcopy(below.history)
        self.platform = below.platform
        self.key = digest_of("FROM", "stage", below.key)
        self.cached = below.cached
        self._start()

    def _start(self) -> None:
        if not any(entry.startswith("PATH=") for entry in self.config.get("Env") or ()):
            self.config["Env"] = [*(self.config.get("Env") or ()), _DEFAULT_PATH]
        self.config["OpenStdin"] = self.config["StdinOnce"] = False

    def environment(self) -> dict[str, str]:
        """``Env`` by name; the first of two entries wins, as everywhere in Docker."""
        found: dict[str, str] = {}
        for entry in self.config.get("Env") or ():
            name, equals, value = entry.partition("=")
            if equals:
                found.setdefault(name, value)
        return found

    def variables(self) -> dict[str, str]:
        """What a ``$NAME`` in an instruction means."""
        return {**self.arguments.values(), **self.environment()}

    def next_key(self, *parts: object) -> str:
        """The key of a step that starts from here: everything that decides its result is in ``parts`` or in here."""
        return digest_of(self.key, self.config, self.author, *parts)

    def add_history(self, entry: Mapping[str, Any], diff_id: DiffID | None) -> None:
        self.history.append(dict(entry))
        self.created = str(entry.get("created") or self.created)
        if diff_id is not None:
            self.diff_ids.append(diff_id)


def inline_keys(stage: StageState) -> list[str]:
    """The keys of a stage's steps by entry of its history; ``""`` for those of the base image."""
    steps = [done.step.key for done in stage.trail]
    base = stage.base.config.document.get("history") or () if stage.base is not None else ()
    return ["" for _ in base] + steps


def digest_of(*parts: object) -> str:
    """sha256 of JSON texts, which can't run into one another."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()

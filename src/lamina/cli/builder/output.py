"""``lamina build``: where the result goes, and the files that say what it is."""

from __future__ import annotations

import os
from collections.abc import Sequence

from lamina.cli.command import CommandError, Context, Options
from lamina.errors import InvalidArgument
from lamina.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lamina.builder.exporting import Output
    from lamina.builder.progress import Steps
    from lamina.builder.request import BuildResult
    from lamina.distribution.push import PushResult
    from lamina.reference import Reference


def wanted_outputs(options: Options, tags: Sequence[Reference]) -> list[Output]:
    """What ``--output``, ``--load`` and ``--push`` ask for."""
    words = options.texts("output")
    if not words and not options.on("push"):
        return []  # ``--load`` is what happens anyway
    from lamina.builder.exporting import Output, parse

    try:
        outputs = [parse(word) for word in words]
    except InvalidArgument as error:
        raise CommandError(str(error)) from None
    if options.on("push"):
        others = [output.kind for output in outputs if output.kind != "image"]
        if others:
            raise CommandError(f'push and "{others[0]}" output can\'t be used together')
        outputs = [output._replace(push=True) for output in outputs] or [Output("image", push=True)]
    if any(output.push and not (output.names or tags) for output in outputs):
        raise CommandError("tag is needed when pushing to registry")
    return outputs


def names_of(outputs: Sequence[Output]) -> tuple[Reference, ...]:
    """Names that outputs give the image on this root."""
    return tuple(name for output in outputs if output.kind == "image" for name in output.names)


def deliver(
    context: Context, outputs: Sequence[Output], result: BuildResult, tags: Sequence[Reference], steps: Steps
) -> list[PushResult]:
    """Carry out ``outputs``; what was pushed."""
    if not outputs:
        return []
    from lamina.builder.exporting import export

    engine = context.engine()
    names = [tag.tagged().familiar for tag in tags]
    pushed = []
    for output in outputs:
        if output.push:
            pushed += engine.builds.push([*tags, *(name for name in output.names if name not in tags)], steps)
        elif output.kind != "image":
            with steps.step(f"exporting to {output.kind}"):
                export(output, result.image, names, engine.stores, context.binary_stdout)
    return pushed


def write_files(options: Options, result: BuildResult, tags: Sequence[Reference], pushed: Sequence[PushResult]) -> None:
    """``--iidfile`` and ``--metadata-file``."""
    if options.text("iidfile"):
        with open(options.text("iidfile"), "w", encoding="ascii") as file:
            file.write(result.image_id)
    if options.text("metadata-file"):
        _write_metadata(options.text("metadata-file"), result, tags, pushed)


def _write_metadata(path: str, result: BuildResult, tags: Sequence[Reference], pushed: Sequence[PushResult]) -> None:
    """buildx's keys, as far as there is something to say.

    ``containerimage.digest`` is the manifest's where one was pushed, else the image's ID, as with buildx's ``docker``
    driver.
    """
    from lamina import atomicfile, json

    document: dict[str, Any] = {"containerimage.config.digest": result.image_id}
    document["containerimage.digest"] = pushed[-1].digest if pushed else result.image_id
    if pushed:
        last = pushed[-1]
        document["containerimage.descriptor"] = {
            "mediaType": last.media_type,
            "digest": last.digest,
            "size": last.size,
        }
    names = {str(tag.tagged()): None for tag in tags} | {str(one.reference): None for one in pushed}
    if names:
        document["image.name"] = ",".join(names)
    text = json.dumps(document, indent=2, sort_keys=True)
    atomicfile.write(os.path.abspath(path), text.encode(), mode=0o644, sync=False)

"""``lamina build``."""

from __future__ import annotations

import os

from lamina.cli.builder.limits import FLAGS
from lamina.cli.command import Command, CommandError, Context, Options, exactly
from lamina.cli.flags import switch, text, texts
from lamina.contextlib import ExitStack
from lamina.errors import LaminaError
from lamina.reference import InvalidReference, Reference, parse_tagged
from lamina.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lamina.builder.context import Context as BuildContext
    from lamina.builder.progress import Steps
    from lamina.builder.request import BuildRequest, BuildResult
    from lamina.cli.builder.failure import Failure

_STANDARD_INPUT = "-"

COMMAND = Command(
    usage="[OPTIONS] PATH | URL | -",
    summary="Build an image from a Dockerfile",
    arguments=exactly(1),
    flags=(
        *FLAGS,
        switch("advise", "Say what wastes space in the image"),
        texts("allow", "Allow extra privileged entitlement (e.g., security.insecure)", type_name="stringArray"),
        texts("build-arg", "Set build-time variables"),
        texts("build-context", "Additional build contexts (e.g., name=path)", type_name="stringArray"),
        switch("check", "Check the Dockerfile, build nothing"),
        texts("cache-from", "Caches to believe (e.g., user/app:cache, type=local,src=path)", type_name="stringArray"),
        texts("cache-to", "Caches to write (e.g., user/app:cache, type=local,dest=path)", type_name="stringArray"),
        text("file", "Name of the Dockerfile (Default is 'PATH/Dockerfile')", short="f"),
        switch("compress", "Compress the build context using gzip"),
        switch("force-rm", "Always remove intermediate containers"),
        text("iidfile", "Write the image ID to the file"),
        texts("label", "Set metadata for an image"),
        switch("load", "Keep the image here, which is what happens anyway (shorthand for --output=type=docker)"),
        text("metadata-file", "Write build result metadata to a file"),
        text("network", "Networking mode for the RUN instructions during build", default="default"),
        switch("no-cache", "Do not use cache when building the image"),
        texts("output", "Output destination (format: type=local,dest=path)", short="o", type_name="stringArray"),
        text("on-failure", "What to do with the stage whose command fails (keep, shell)"),
        text("platform", "Set platform of base images"),
        text("progress", "Set type of progress output (auto, plain, tty, quiet, rawjson)", default="auto"),
        switch("pull", "Always attempt to pull a newer version of the image"),
        switch("push", "Push the image to its registry (shorthand for --output=type=registry)"),
        switch("quiet", "Suppress the build output and print image ID on success", short="q"),
        switch("rm", "Remove intermediate containers after a successful build", default=True),
        texts("secret", "Secret to expose to the build (e.g., id=mysecret,src=/local/secret)", type_name="stringArray"),
        texts(
            "ssh",
            "SSH agent or keys for the build (default|<id>[=<socket>|<key>[,<key>]])",
            type_name="stringArray",
        ),
        switch("squash", "Squash newly built layers into a single new layer"),
        texts("tag", "Name and optionally a tag in the 'name:tag' format", short="t"),
        text("target", "Set the target build stage to build"),
        switch("verify", "Build twice without cache, and say what differs"),
    ),
)


def run(context: Context, options: Options) -> int:
    from lamina.builder.progress import Steps
    from lamina.cli.builder.check import check_only, refuse_violations, tell_findings
    from lamina.cli.builder.failure import Failure
    from lamina.cli.builder.output import deliver, names_of, wanted_outputs, write_files
    from lamina.cli.builder.progress import reporter
    from lamina.cli.builder.request import requested
    from lamina.cli.builder.stopping import stopping

    source = options.arguments[0]
    mode = options.text("progress")
    if not options.given("progress"):
        mode = context.environment.get("BUILDKIT_PROGRESS") or mode
    quiet = options.on("quiet") or mode == "quiet"
    tags = tuple(_tag(name) for name in options.texts("tag"))
    outputs = wanted_outputs(options, tags)
    tags += tuple(name for name in names_of(outputs) if name not in tags)
    report = reporter(context.stderr, mode, quiet=quiet)
    steps = Steps(report)
    with ExitStack() as stack:
        stack.enter_context(stopping())
        stack.callback(report.close)
        prepared = _prepared(context, options, source, steps, stack)
        request = requested(context, options, prepared, tags)
        if options.on("check"):
            return check_only(context, request)
        refuse_violations(context, request)
        failure = stack.enter_context(Failure(context, options, request, report))
        try:
            result = _built(context, request, steps, failure, verify=options.on("verify"))
            pushed = deliver(context, outputs, result, tags, steps)
        except LaminaError as error:
            failure.tell(error)
            raise
        if not (quiet or result.cached):
            tell_findings(context, request, steps)
    write_files(options, result, tags, pushed)
    if result.waste:
        from lamina.cli.builder.advice import advice

        context.warn("\n".join(advice(result.waste, request)))
    if (quiet or not context.stderr.isatty()) and not any(output.destination == "-" for output in outputs):
        context.print(result.image_id)
    return 0


def _built(context: Context, request: BuildRequest, steps: Steps, failure: Failure, *, verify: bool) -> BuildResult:
    """Build once; or twice, and refuse what is not the same."""
    builds = context.engine().builds
    if not verify:
        return builds.run(request, steps, failure.tell)
    verified = builds.verify(request, steps)
    for difference in verified.differences:
        context.print(str(difference))
    if verified.differences:
        hint = "" if request.epoch is not None else "\nSOURCE_DATE_EPOCH pins the times."
        raise CommandError(
            f"two builds differ in {len(verified.differences)} places: {verified.first.image_id} and "
            f"{verified.second.image_id}{hint}"
        )
    return verified.first


def _tag(name: str) -> Reference:
    try:
        reference = parse_tagged(name)
    except InvalidReference as error:
        raise CommandError(f'invalid argument "{name}" for "-t, --tag" flag: {error}', 125) from None
    if reference.digest is not None:
        raise CommandError(
            f'invalid argument "{name}" for "-t, --tag" flag: refusing to create a tag with a digest', 125
        )
    return reference


def _prepared(context: Context, options: Options, source: str, steps: Steps, stack: ExitStack) -> BuildContext:
    """The context and the Dockerfile; what they need is released by ``stack``."""
    from lamina.builder import context as contexts

    file = options.text("file")
    if source == _STANDARD_INPUT:
        if file == _STANDARD_INPUT:
            raise CommandError("invalid argument: can't use stdin for both build context and dockerfile")
        stdin = stack.enter_context(os.fdopen(os.dup(context.stdin.fileno()), "rb", buffering=0))
        from lamina.builder import contextstream

        return stack.enter_context(contextstream.stream(context.engine().layers, stdin, file))
    if contexts.is_remote(source):
        from lamina.builder import remotecontext
        from lamina.cli.builder.request import surroundings

        if file == _STANDARD_INPUT:
            raise CommandError("invalid argument: can't use stdin for the dockerfile of a remote context")
        try:
            opened = remotecontext.opened(context.engine().layers, source, surroundings(context, options), steps, file)
            return stack.enter_context(opened)
        except contexts.BadContext as error:
            raise CommandError(str(error)) from None
    content = context.binary_stdin.read() if file == _STANDARD_INPUT else None
    try:
        return contexts.directory(source, "" if file == _STANDARD_INPUT else file, content)
    except contexts.BadContext as error:
        raise CommandError(str(error)) from None

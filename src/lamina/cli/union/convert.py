"""``lamina union convert``."""

from __future__ import annotations

from lamina.cli.command import Command, Context, Options, exactly
from lamina.cli.flags import switch, text


def _dialect(value: str) -> str:
    if value not in ("aufs", "overlay"):
        raise ValueError("must be aufs or overlay")
    return value


COMMAND = Command(
    usage="[OPTIONS] DIRECTORY",
    summary="Rewrite a layer's marks for overlayfs or AUFS",
    description="Rewrite the whiteouts and opaque marks of the layer DIRECTORY, which must not be mounted, in place.",
    arguments=exactly(1),
    flags=(
        text("to", "Dialect to write: aufs or overlay", parse=_dialect, default="aufs"),
        switch("userxattr", "overlayfs's marks are user.overlay.* attributes"),
    ),
)


def run(context: Context, options: Options) -> int:
    from lamina.unionfs.convert import convert
    from lamina.unionfs.options import Dialect

    target = Dialect(options.text("to"))
    source = Dialect.OVERLAY if target is Dialect.AUFS else Dialect.AUFS
    done = convert(options.arguments[0], source, target, userxattr=options.on("userxattr"))
    context.print(f"{done.whiteouts} whiteouts and {done.opaque} opaque directories converted")
    return 0

"""The console script ``mount.fuse.lamina``: what ``mount -t fuse.lamina`` and ``/etc/fstab`` call.

``mount(8)`` looks for ``/sbin/mount.fuse.lamina``, so link it there, and calls it as ``SOURCE DIRECTORY [-sfnv]
[-N NAMESPACE] [-o OPTIONS] [-t TYPE]``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from lamina.cli.flags import FlagError, Parser, switch, text, texts

#: Exit codes of ``mount(8)``.
_USAGE = 1
_FAILED = 32

_FLAGS = (
    switch("sloppy", "Ignore unknown options", short="s"),
    switch("fake", "Do everything but mount", short="f"),
    switch("no-mtab", "Write no /etc/mtab", short="n"),
    switch("verbose", "Say more", short="v"),
    text("namespace", "Mount namespace", short="N"),
    texts("options", "Options", short="o"),
    text("types", "File system type", short="t"),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Mount as told; the exit code is one of ``mount(8)``'s."""
    from lamina.errors import LaminaError
    from lamina.unionfs import fuse, grammar

    try:
        parsed = Parser(_FLAGS, interspersed=True).parse(list(sys.argv[1:] if argv is None else argv))
        if len(parsed.arguments) != 2:
            raise FlagError("usage: mount.fuse.lamina SOURCE DIRECTORY [-o OPTIONS]")
        source, directory = parsed.arguments
        words = parsed.values["options"]
        assert isinstance(words, list)
        options = grammar.absolute(grammar.parse(",".join(words), source=source))
        if not parsed.values["fake"]:
            fuse.mount_in_background(options, os.path.abspath(directory))
    except FlagError as error:
        return _fail(str(error), _USAGE)
    except LaminaError as error:
        return _fail(str(error), _FAILED)
    except OSError as error:
        return _fail(f"{error.filename or directory}: {error.strerror}", _FAILED)
    return 0


def _fail(reason: str, code: int) -> int:
    sys.stderr.write(f"mount.fuse.lamina: {reason}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())

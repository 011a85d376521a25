"""The console script ``lamina-fuse-overlayfs``: our mount under the command line of ``fuse-overlayfs(1)``.

A link of the name ``fuse-overlayfs``, or ``mount_program`` in podman's ``storage.conf``, makes programs that call
fuse-overlayfs use it. Layers are in its dialect: overlayfs's marks, and AUFS's where it could not write those.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from lamina.cli.flags import FlagError, Parser, switch, texts

_NAME = "fuse-overlayfs"
_USAGE = f"usage: {_NAME} [-f] [-o lowerdir=A:B,upperdir=U,workdir=W] DIRECTORY\n"

#: Words of fuse-overlayfs and of libfuse that change nothing here; podman and buildah pass some of them.
_MEANINGLESS = frozenset(
    (
        "debug",
        "noacl",
        "ino32_t",
        "fast_ino",
        "threaded",
        "timeout",
        "auto_unmount",
        "clone_fd",
        "max_write",
        "max_idle_threads",
    )
)

_FLAGS = (
    switch("foreground", "Stay until it is unmounted", short="f"),
    switch("debug", "Accepted", short="d"),
    switch("single", "Accepted", short="s"),
    switch("help", "Say how it is used", short="h"),
    switch("version", "Say which version this is", short="V"),
    texts("options", "Options", short="o"),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Mount as told; 0 when the tree is there."""
    from lamina.errors import LaminaError
    from lamina.unionfs import fuse, grammar

    try:
        parsed = Parser(_FLAGS, interspersed=True).parse(list(sys.argv[1:] if argv is None else argv))
        if parsed.values["help"]:
            sys.stdout.write(_USAGE)
            return 0
        if parsed.values["version"]:
            return _version()
        if len(parsed.arguments) != 1:
            raise FlagError(_USAGE.rstrip())
        words = parsed.values["options"]
        assert isinstance(words, list)
        text = ",".join(["dialect=fuse-overlayfs", *(word for word in grammar.words(",".join(words)) if _counts(word))])
        options = grammar.absolute(grammar.parse(text))
        directory = os.path.abspath(parsed.arguments[0])
        if parsed.values["foreground"]:
            fuse.serve(options, directory)
        else:
            fuse.mount_in_background(options, directory)
    except (FlagError, LaminaError) as error:
        return _fail(str(error))
    except OSError as error:
        return _fail(f"{error.filename or directory}: {error.strerror}")
    return 0


def _counts(word: str) -> bool:
    """Whether an option means something; what does not is told, as fuse-overlayfs does."""
    if word.partition("=")[0] not in _MEANINGLESS:
        return True
    sys.stderr.write(f"unknown argument ignored: {word}\n")
    return False


def _version() -> int:
    from lamina.version import __version__

    # Programs look for these two names.
    sys.stdout.write(
        f"fuse-overlayfs: lamina {__version__}\nFUSE library version none\nusing FUSE kernel interface 7.41\n"
    )
    return 0


def _fail(reason: str) -> int:
    sys.stderr.write(f"{_NAME}: {reason}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())

"""``loads``, ``dumps``, ``load`` and ``dump`` of :mod:`json`, without loading the package for plain documents.

``quote`` writes a text as JSON that need not be ASCII.

The package loads ``re`` and ``enum`` for its slow half, which takes some milliseconds; its fast half is in C.
What that half alone can't do (indentation, hooks, a good word about a syntax error) is left to the package.
"""

from __future__ import annotations

from lamina.typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from json import dump, dumps, load, loads
    from json.encoder import encode_basestring as quote
else:
    try:
        from _json import encode_basestring as quote
        from _json import encode_basestring_ascii, make_encoder, make_scanner
    except ImportError:  # another interpreter than CPython
        from json import dump, dumps, load, loads
        from json.encoder import encode_basestring as quote
    else:
        _SPACE = " \t\n\r"
        _CONSTANTS = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}

        class _Settings:
            """What the scanner wants to know; Python's own defaults."""

            strict = True
            object_hook = object_pairs_hook = None
            parse_float = float
            parse_int = int
            parse_constant = staticmethod(_CONSTANTS.__getitem__)

        _scan = make_scanner(_Settings)

        def loads(text: str | bytes | bytearray, **hooks: Any) -> Any:
            """See :func:`json.loads`."""
            try:
                plain = text if isinstance(text, str) else text.decode()
                start = 0
                while plain[start] in _SPACE:
                    start += 1
                scan = make_scanner(type("Settings", (_Settings,), hooks)) if hooks else _scan
                value, end = scan(plain, start)
                if not plain[end:].strip(_SPACE):
                    return value
            # SystemError is the scanner's way to say it while json.decoder, which has its error, is not loaded.
            except (ValueError, StopIteration, IndexError, SystemError):
                pass
            import json

            return json.loads(text, **hooks)

        def dumps(
            value: Any,
            *,
            ensure_ascii: bool = True,
            separators: tuple[str, str] | None = None,
            sort_keys: bool = False,
            allow_nan: bool = True,
            **options: Any,
        ) -> str:
            """See :func:`json.dumps`."""
            if options or isinstance(value, float):
                import json

                options |= {"ensure_ascii": ensure_ascii, "sort_keys": sort_keys, "allow_nan": allow_nan}
                return json.dumps(value, separators=separators, **options)
            text = encode_basestring_ascii if ensure_ascii else quote
            between, after = separators or (", ", ": ")
            if isinstance(value, str):
                return text(value)
            encode = make_encoder({}, _refuse, text, None, after, between, sort_keys, False, allow_nan)
            return "".join(encode(value, 0))

        def load(file: IO[Any], **options: Any) -> Any:
            """See :func:`json.load`."""
            return loads(file.read(), **options)

        def dump(value: Any, file: IO[str], **options: Any) -> None:
            """See :func:`json.dump`."""
            file.write(dumps(value, **options))

        def _refuse(value: Any) -> Any:
            raise TypeError(f"Object of type {value.__class__.__name__} is not JSON serializable")


__all__ = ["dump", "dumps", "load", "loads", "quote"]

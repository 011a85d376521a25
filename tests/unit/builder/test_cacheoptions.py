"""What ``--cache-from`` and ``--cache-to`` say."""

from __future__ import annotations

import pytest

from lamina.builder.cacheoptions import CacheExport, CacheImport, parse_export, parse_imports
from lamina.digest import Digest
from lamina.errors import InvalidArgument


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("app:cache", [CacheImport("image", "app:cache")]),
        ("one,two", [CacheImport("image", "one"), CacheImport("image", "two")]),
        ("type=registry,ref=example.com/a", [CacheImport("registry", "example.com/a:latest")]),
        ("type=local,src=/c", [CacheImport("local", "/c")]),
        ("type=local,src=/c,tag=x", [CacheImport("local", "/c", "x")]),
        ('"type=local","src=/a,b"', [CacheImport("local", "/a,b")]),
        (
            f"type=local,src=/c,digest=sha256:{'a' * 64}",
            [CacheImport("local", "/c", digest=Digest(f"sha256:{'a' * 64}"))],
        ),
    ],
)
def test_caches_to_read(text: str, expected: list[CacheImport]) -> None:
    assert parse_imports(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("example.com/a:c", CacheExport("registry", "example.com/a:c")),
        ("type=registry,ref=example.com/a,mode=max", CacheExport("registry", "example.com/a:latest", True)),
        ("type=local,dest=/c,mode=min,tag=x", CacheExport("local", "/c", tag="x")),
        ("type=inline", CacheExport("inline")),
        ("type=local,dest=/c,ignore-error=true", CacheExport("local", "/c", forgiving=True)),
    ],
)
def test_caches_to_write(text: str, expected: CacheExport) -> None:
    assert parse_export(text) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("type=gha", "unknown cache exporter: 'gha'"),
        ("ref=x", "a cache needs a type"),
        ("type=registry", "ref is required"),
        ("type=local", "dest is required"),
        ("type=local,dest=/c,mode=all", "mode 'all' is not supported"),
        ("type=registry,ref=UPPER", "invalid reference"),
        ("type=local,dest=/c,ignore-error=perhaps", "non-bool value"),
        ("type=local,type=local,dest=x", "type is given twice"),
        ('"type=local', "unexpected end of data"),
    ],
)
def test_nonsense_is_refused(text: str, reason: str) -> None:
    with pytest.raises(InvalidArgument, match=reason):
        parse_export(text)

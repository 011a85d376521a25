"""``RUN --mount``."""

from __future__ import annotations

from typing import Any

import pytest

from lamina.dockerfile.failure import InvalidInstruction
from lamina.dockerfile.mount import Mount, parse_mount


def _parse(text: str) -> Mount:
    return parse_mount(text, lambda value: value.replace("$X", "expanded"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("target=/a", {"type": "bind", "target": "/a", "read_only": True}),
        ("type=bind,from=base,src=/b,dst=/a,rw", {"stage": "base", "source": "/b", "target": "/a", "read_only": False}),
        ("type=cache,target=/$X,id=i,sharing=locked", {"target": "/expanded", "id": "i", "sharing": "locked"}),
        ("type=cache,target=/a,mode=0750,uid=1,gid=2", {"mode": 0o750, "uid": 1, "gid": 2, "read_only": False}),
        ("type=cache,target=/a,ro", {"read_only": True}),
        ("type=cache,target=/a,readwrite=false", {"read_only": True}),
        ("type=tmpfs,target=/a,size=64m", {"size": 64 << 20, "read_only": False}),
        ("type=tmpfs,target=/a,size=1.5GiB", {"size": 3 << 29}),
        ("type=secret,id=s,required,env=TOKEN", {"id": "s", "required": True, "env": "TOKEN"}),
        ("type=secret,id=s,required=false", {"required": False, "env": None}),
        ("type=ssh", {"type": "ssh", "id": ""}),
        ('type=bind,"source=a,b",target=/c', {"source": "a,b"}),
        ("TYPE=Cache,target=/a", {"type": "cache"}),
    ],
)  # fmt: skip
def test_a_mount_is_read(text: str, expected: dict[str, Any]) -> None:
    fields = _parse(text)._asdict()
    assert {name: fields[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("type=cach", 'unsupported mount type "cach" (did you mean cache?)'),
        ("type=cache,sharing=all", 'unsupported sharing value "all"'),
        ("type=cache,sharing=lockd", 'unsupported sharing value "lockd" (did you mean locked?)'),
        ("target", "invalid field 'target' must be a key=value pair"),
        ("tagret=/a", "unexpected key 'tagret' in 'tagret=/a' (did you mean target?)"),
        ("required", "unexpected key 'required' for mount type 'bind'"),
        ("type=bind,size=1", "unexpected key 'size' for mount type 'bind'"),
        ("type=tmpfs,size=x", "invalid value for size: x"),
        ("ro=maybe", "invalid value for ro: maybe"),
        ("type=cache,mode=9", "invalid value 9 for mode"),
        ("type=cache,uid=-1", "invalid value -1 for uid"),
        ("type=cache,uid=4294967296", "invalid value 4294967296 for uid"),
        ("type=bind,mode=1", 'mode not allowed for "bind" type mounts'),
        ("type=bind,sharing=shared", "invalid cache sharing set for bind mount"),
        ("type=secret", "invalid secret mount. one of source, target required"),
        ("type=secret,id=a,src=b", "both source and id can't be set"),
        ("type=secret,id=a,from=b", "secret mount should not have a from"),
    ],
)
def test_a_malformed_mount_is_refused_with_dockers_message(text: str, message: str) -> None:
    with pytest.raises(InvalidInstruction) as caught:
        _parse(text)
    assert str(caught.value) == message

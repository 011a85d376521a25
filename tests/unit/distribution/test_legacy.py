"""Version 1 IDs and documents, as Docker Engine 20.10.24 wrote them for the same images."""

from __future__ import annotations

import json

from lamina.distribution import legacy
from lamina.oci import gojson, image

_DIFF_ID = "sha256:0958e0fef2d6a31e1325b8bfecd99dead933363682d69850a7606599023751bc"
_UPPER = "sha256:c1afc3f4019522da12b508eeffbda7c46808bdf20488dd40ab7652a9047fae57"
_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def _config(*diff_ids: str, **members: object) -> image.ImageConfig:
    document = {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": list(diff_ids)}}
    return image.parse(json.dumps({**document, **members}).encode())


def test_the_only_layer_has_the_images_own_parameters() -> None:
    config = _config(_DIFF_ID, created="2026-05-13T02:21:49Z", config={"Cmd": ["sh"], "Env": [_PATH]})
    (layer,) = legacy.layers(config)
    assert layer.id == "9ab2b9ade961d545a7633d0fbce2876b1516bdf3464198f78a279ecdd1596b2c"
    document = json.loads(layer.json)
    assert list(document)[:3] == ["id", "created", "container_config"]
    assert document["config"]["Cmd"] == ["sh"]
    assert gojson.encode(document) == layer.json


def test_a_layer_below_the_top_depends_on_nothing_but_its_chain() -> None:
    below, top = legacy.layers(_config(_DIFF_ID, _UPPER, created="2026-11-24T22:25:25.383613256Z"))
    assert below.id == "49d9657e277d8959143c158e82bff35b0c9fc7d94a3a787c0b6c18fb2f0029d0"
    assert below.json.startswith(b'{"id":"49d9657e277d')
    assert b'"created":"1970-01-01T00:00:00Z","container_config":{"Hostname":""' in below.json
    assert json.loads(top.json)["parent"] == below.id

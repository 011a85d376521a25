"""JSON as Go writes it."""

from __future__ import annotations

from lamina.oci import dockerconfig, gojson


def test_what_go_escapes_is_escaped() -> None:
    assert gojson.encode("a<b>&\u2028\u2029") == b'"a\\u003cb\\u003e\\u0026\\u2028\\u2029"'


def test_backspace_and_form_feed_have_no_short_form() -> None:
    assert gojson.encode("\b\f\\b\n\t") == b'"\\u0008\\u000c\\\\b\\n\\t"'


def test_text_stays_utf_8_and_members_stay_in_order() -> None:
    assert gojson.encode({"b": "é", "a": [1, None, True]}) == '{"b":"é","a":[1,null,true]}'.encode()


def test_an_empty_configuration_has_every_member_that_docker_always_writes() -> None:
    assert gojson.encode(dockerconfig.complete({})) == (
        b'{"Hostname":"","Domainname":"","User":"","AttachStdin":false,"AttachStdout":false,"AttachStderr":false,'
        b'"Tty":false,"OpenStdin":false,"StdinOnce":false,"Env":null,"Cmd":null,"Image":"","Volumes":null,'
        b'"WorkingDir":"","Entrypoint":null,"OnBuild":null,"Labels":null}'
    )


def test_maps_are_sorted_and_unknown_members_dropped() -> None:
    config = dockerconfig.complete({"Labels": {"b": "2", "a": "1"}, "Other": 1, "StopTimeout": 0, "Shell": []})
    assert list(config["Labels"]) == ["a", "b"]
    assert "Other" not in config
    assert config["StopTimeout"] == 0
    assert "Shell" not in config

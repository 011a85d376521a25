"""``--mount``."""

from __future__ import annotations

import pytest

from lamina.cli.container import mountflag


def test_a_part_of_a_volume_stands_where_docker_has_it() -> None:
    mount = mountflag.parse_mount(
        "src=data,dst=/x,volume-driver=local,volume-subpath=a/b,volume-label=l=1,volume-nocopy"
    )
    assert list(mount["VolumeOptions"].items()) == [
        ("NoCopy", True),
        ("Labels", {"l": "1"}),
        ("Subpath", "a/b"),
        ("DriverConfig", {"Name": "local"}),
    ]


def test_no_part_is_the_whole_volume() -> None:
    assert mountflag.parse_mount("src=data,dst=/x,volume-subpath=")["VolumeOptions"] == {"DriverConfig": {}}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("src=data,dst=/x,volume-subpath", "invalid field 'volume-subpath' must be a key=value pair"),
        ("type=bind,src=/a,dst=/x,volume-subpath=b", "cannot mix 'volume-*' options with mount type 'bind'"),
    ],
)
def test_nonsense_is_refused_in_dockers_words(value: str, message: str) -> None:
    with pytest.raises(ValueError, match=r"invalid|cannot") as caught:
        mountflag.parse_mount(value)
    assert str(caught.value) == message

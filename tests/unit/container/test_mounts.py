"""What ``-v``, ``--mount``, ``--tmpfs`` and ``VOLUME`` ask for."""

from __future__ import annotations

import pytest

from lamina.container import mounts
from lamina.container.mounts import InvalidMount


def test_a_host_path_is_a_bind() -> None:
    request = mounts.parse_bind("/host/../data/:/in//side/:ro,rslave")
    assert (request.type, request.source, request.target) == ("bind", "/data", "/in/side")
    assert (request.read_only, request.propagation, request.create_source) == (True, "rslave", True)


def test_a_name_is_a_volume() -> None:
    request = mounts.parse_bind("vol:/data:nocopy")
    assert (request.type, request.source, request.copy) == ("volume", "vol", False)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a:/b:xx", "invalid mode: xx"),
        ("a:/b:ro,rw", "invalid mode: ro,rw"),
        (
            "/:/",
            "invalid volume specification: '/:/': invalid mount config for type \"bind\": "
            "invalid specification: destination can't be '/'",
        ),
        ("vol:relative", "mount path must be absolute"),
        ("vol:/x/../..", "destination can't be '/'"),
        ("../x:/x", "includes invalid characters for a local volume name"),
        (".hidden:/x", "includes invalid characters for a local volume name"),
        ("a:/b:ro:more", "invalid volume specification: 'a:/b:ro:more'"),
        (":/b", "invalid volume specification: ':/b'"),
        ("/a\0b:/c", "invalid volume specification"),
    ],
)
def test_nonsense_is_refused_in_dockers_words(text: str, message: str) -> None:
    with pytest.raises(InvalidMount) as caught:
        mounts.parse_bind(text)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("mount", "message"),
    [
        ({"Type": "foo", "Target": "/x"}, 'invalid mount config for type "foo": mount type unknown'),
        ({"Type": "bind", "Target": "/x"}, "field Source must not be empty"),
        ({"Type": "bind", "Source": "/nosuchdirectory", "Target": "/x"}, "bind source path does not exist"),
        ({"Type": "tmpfs", "Source": "a", "Target": "/x"}, "field Source must not be specified"),
        ({"Type": "volume", "Source": "../up", "Target": "/x"}, "includes invalid characters"),
        ({"Type": "volume", "Target": ""}, "field Target must not be empty"),
    ],
)
def test_mounts_that_make_no_sense_are_refused(mount: dict[str, str], message: str) -> None:
    with pytest.raises(InvalidMount) as caught:
        mounts.parse_mount(mount)
    assert message in str(caught.value)


def test_an_explicit_mount_takes_the_place_of_the_images_volume() -> None:
    found = mounts.collect({"Volumes": {"/data": {}, "/other": {}}}, {"Binds": ["vol:/data"]})
    assert [(one.target, one.source) for one in found] == [("/data", "vol"), ("/other", "")]


@pytest.mark.parametrize("target", ["../../etc", "/../../etc", "etc"])
def test_an_images_volume_stays_below_the_root(target: str) -> None:
    assert [one.target for one in mounts.collect({"Volumes": {target: {}}}, {})] == ["/etc"]


@pytest.mark.parametrize("target", ["/", "..", ""])
def test_an_images_volume_can_not_be_the_root(target: str) -> None:
    with pytest.raises(InvalidMount):
        mounts.collect({"Volumes": {target: {}}}, {})


def test_two_mounts_in_one_place_are_refused() -> None:
    with pytest.raises(InvalidMount, match="Duplicate mount point: /x"):
        mounts.collect({}, {"Binds": ["/tmp:/x"], "Tmpfs": {"/x": ""}})


def test_tmpfs_options_are_checked() -> None:
    assert mounts.collect({}, {"Tmpfs": {"/x": "size=10k,mode=700,noexec"}})[0].options == "size=10k,mode=700,noexec"
    with pytest.raises(InvalidMount, match="invalid tmpfs option"):
        mounts.collect({}, {"Tmpfs": {"/x": "context=evil"}})


def test_mounts_below_others_come_after_them() -> None:
    points = [{"Destination": path} for path in ("/a/b/c", "/z", "/a")]
    assert [point["Destination"] for point in mounts.ordered(points)] == ["/a", "/z", "/a/b/c"]

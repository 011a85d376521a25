"""The text of ``-o``."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.errors import InvalidArgument, Unsupported
from lamina.unionfs import grammar
from lamina.unionfs.grammar import parse
from lamina.unionfs.options import Dialect, IdRange, MountOptions


def test_the_kernels_three_directories_are_read() -> None:
    options = parse("lowerdir=/a:/b,upperdir=/u,workdir=/w")
    assert options == MountOptions(("/a", "/b"), "/u", "/w")


@pytest.mark.parametrize(
    ("text", "lowers"),
    [
        (r"lowerdir=a\:1:b", ("a:1", "b")),
        (r"lowerdir=a\,1:b", ("a,1", "b")),
        (r"lowerdir=a\\:b", ("a\\", "b")),
        (r"lowerdir=a\\\:b", ("a\\:b",)),
        ("lowerdir+=/x:y,lowerdir+=/z", ("/x:y", "/z")),
    ],
)
def test_a_backslash_takes_a_characters_meaning_away(text: str, lowers: tuple[str, ...]) -> None:
    assert parse(text).lowerdirs == lowers


def test_switches_and_flags_of_every_mount_are_read() -> None:
    options = parse(
        "rw,noatime,nosuid,ro,volatile,userxattr,xino=on,index=on,redirect_dir=follow,lowerdir=/a,dialect=aufs"
    )
    assert options.read_only
    assert options.volatile
    assert options.userxattr
    assert (options.xino, options.redirect_dir, options.inode_index) == ("on", "follow", True)
    assert options.dialect is Dialect.AUFS
    assert set(options.flags) == {"noatime", "nosuid"}


@pytest.mark.parametrize(
    "text", ["x-systemd.automount", "_netdev", "defaults", "auto,user,suid,dev", "metacopy=off", ""]
)
def test_words_that_ask_for_nothing_are_accepted(text: str) -> None:
    assert parse(text) == MountOptions(())


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("nfs_export=on", "file handles"),
        ("lowerdir=/a::/b", "data-only"),
        ("datadir+=/a", "data-only"),
        ("verity=on", "fs-verity"),
        ("uuid=on", "UUID"),
        ("br=/a=rw:/b=ro", "upperdir"),
    ],
)
def test_what_can_not_be_done_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(Unsupported, match=reason):
        parse(text)


@pytest.mark.parametrize(
    "text",
    ["lowerdir", "lowerdir=", "lowerdir=:/a", "lowerdir=/a:", "nonsense", "xino=maybe", "index=x", "redirect_dir"],
)
def test_what_does_not_parse_names_the_option(text: str) -> None:
    with pytest.raises(InvalidArgument, match=text.partition("=")[0]):
        parse(text)


def test_500_lower_directories_are_read_and_one_more_refused() -> None:
    names = [f"/layers/{number}" for number in range(500)]
    assert parse("lowerdir=" + ":".join(names)).lowerdirs == tuple(names)
    with pytest.raises(InvalidArgument, match="limit is 500"):
        parse("lowerdir=" + ":".join([*names, "/more"]))


def test_owners_are_squashed_or_mapped_by_ranges() -> None:
    options = parse("squash_to_root,squash_to_uid=5,uidmapping=0:1000:1:1:110000:65536,noxattrs=1,static_nlink,fsync=0")
    assert (options.squash_uid, options.squash_gid) == (5, 0)
    assert options.uid_mapping == (IdRange(0, 1000, 1), IdRange(1, 110000, 65536))
    assert options.noxattrs
    assert options.static_nlink
    assert options.volatile
    assert parse(grammar.format(options)) == options
    for text in ("squash_to_uid=x", "gidmapping=1:2", "uidmapping=0:0:99999999999"):
        with pytest.raises(InvalidArgument, match=text.partition("=")[0]):
            parse(text)


paths = st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), min_size=1, max_size=12)


@given(st.lists(paths, min_size=1, max_size=4), paths, paths, st.booleans(), st.sampled_from(["on", "off", "follow"]))
def test_what_is_written_is_read_back(lowers: list[str], upper: str, work: str, switch: bool, redirect: str) -> None:
    options = MountOptions(
        tuple(lowers), upper, work, read_only=switch, volatile=switch, redirect_dir=redirect, inode_index=switch
    )
    assert parse(grammar.format(options)) == options

"""Unions of an ordinary user: through ``fusermount3``, and in a user namespace; the kernel's overlayfs reads on."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator

import pytest

from support.ordinary import OrdinaryUser

pytestmark = [pytest.mark.root, pytest.mark.needs("fusermount3", "setpriv", "unshare")]

_OPTIONS = "lowerdir=lower,upperdir=upper,workdir=work"
_CHANGE = """
echo new > merged/dir/new
echo more >> merged/file
rm merged/gone
rm -r merged/replaced; mkdir merged/replaced; echo fresh > merged/replaced/fresh
mv merged/dir merged/moved
chmod 600 merged/moved/inside
"""
_SHOW = "cat merged/moved/new merged/moved/inside merged/file; ls merged; ls merged/replaced"
_SHOWN = ["new", "inside", "file", "more", "file", "moved", "replaced", "fresh"]


@pytest.fixture
def user() -> Iterator[OrdinaryUser]:
    # not below pytest's directory, to which every session that starts takes everybody's rights
    with tempfile.TemporaryDirectory(prefix="lamina-user-") as home:
        user = OrdinaryUser(home)
        user.must(
            "mkdir -p lower/dir lower/replaced upper work merged;"
            "for name in dir/inside replaced/old gone file; do basename $name > lower/$name; done"
        )
        yield user


def need_user_namespaces(user: OrdinaryUser) -> None:
    done = user.run("unshare --user --map-root-user --mount true")
    if done.returncode != 0:
        pytest.skip(f"needs user namespaces: {done.stderr.strip()}")


def test_an_ordinary_user_mounts_changes_and_unmounts(user: OrdinaryUser) -> None:
    mounted = "grep -o 'fuse.lamina rw,nosuid,nodev' /proc/self/mounts"
    said = user.must(
        f"lamina union mount -o {_OPTIONS} merged; {mounted}; {_CHANGE} {_SHOW}; stat -c %u merged/moved/new;"
        f"lamina union umount merged; ls merged; ! {mounted}"
    ).split()
    assert said == ["fuse.lamina", "rw,nosuid,nodev", *_SHOWN, "65534"]
    assert user.must(f"lamina union mount -o {_OPTIONS} merged; {_SHOW}; lamina union umount merged").split() == _SHOWN


def test_the_kernel_goes_on_in_a_user_namespace(user: OrdinaryUser) -> None:
    need_user_namespaces(user)
    user.must(f"lamina union mount -o {_OPTIONS} merged; {_CHANGE} lamina union umount merged")
    kernel = f"mount -t overlay overlay -o userxattr,{_OPTIONS} merged"
    done = user.run(
        f"unshare --user --map-root-user --mount sh -euc '{kernel}; {_SHOW}; rm merged/file; umount merged'"
    )
    if "mount: " in done.stderr:
        pytest.skip(f"needs overlayfs in user namespaces: {done.stderr.strip()}")
    assert done.stdout.split() == _SHOWN
    ours = user.must(f"lamina union mount -o {_OPTIONS} merged; ls merged; lamina union umount merged")
    assert ours.split() == ["moved", "replaced"]


def test_in_a_user_namespace_it_is_mounted_directly(user: OrdinaryUser) -> None:
    need_user_namespaces(user)
    inside = f"lamina union mount -o {_OPTIONS} merged; {_CHANGE} {_SHOW}; stat -c %u merged/moved/new; umount merged"
    said = user.must(f"unshare --user --map-root-user --mount sh -euc '{inside}'").split()
    assert said == [*_SHOWN, "0"]


def test_what_fusermount_says_is_told(user: OrdinaryUser) -> None:
    done = user.run(f"lamina union mount -o allow_other,{_OPTIONS} merged")
    assert done.returncode == 1
    assert "user_allow_other" in done.stderr
    done = user.run(f"lamina union mount -o {_OPTIONS} /usr")
    assert done.returncode == 1
    assert "fusermount3" in done.stderr

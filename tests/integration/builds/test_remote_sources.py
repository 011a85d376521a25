"""``ADD`` of URLs and git repositories, all of them on the loopback."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest

from support.building import build, refused
from support.command import Lamina
from support.website import Page, Repository, Website

pytestmark = [pytest.mark.root, pytest.mark.needs("crun")]

_MODIFIED = (("Last-Modified", "Sun, 13 Sep 2020 12:26:40 GMT"),)


def shell(lamina: Lamina, command: str) -> str:
    return lamina("run", "--rm", "made", "sh", "-c", command)


def test_a_url_becomes_a_file_of_roots_with_the_servers_time(built: Lamina, context: Path, site: Website) -> None:
    site.pages["/dir/file.txt"] = Page(b"content", headers=_MODIFIED)
    build(built, context, f"FROM busybox\nADD {site.url}/dir/file.txt?x=1 /to/\n", "-t", "made")
    assert shell(built, "cat /to/file.txt; stat -c ' %a %u:%g %Y' /to/file.txt") == "content 600 0:0 1600000000\n"


def test_a_destination_without_slash_names_the_file(built: Lamina, context: Path, site: Website) -> None:
    site.pages["/file"] = Page(b"content")
    build(built, context, f"FROM busybox\nADD --chmod=755 --chown=7:8 {site.url}/file /to/other\n", "-t", "made")
    assert shell(built, "stat -c '%n %a %u:%g' /to/*") == "/to/other 755 7:8\n"


def test_a_url_without_a_name_needs_one_from_elsewhere(built: Lamina, context: Path, site: Website) -> None:
    site.pages["/"] = Page(b"content")
    said = refused(built, context, f"FROM busybox\nADD {site.url}/ /to/\n")
    assert f"cannot determine filename for source {site.url}/" in said
    site.pages["/"] = Page(b"content", headers=(("Content-Disposition", 'attachment; filename="../named"'),))
    build(built, context, f"FROM busybox\nADD {site.url}/ /to/\n", "-t", "made")
    assert shell(built, "ls /to /").startswith("/:")
    assert shell(built, "ls /to") == "named\n"


def test_a_download_that_did_not_change_is_cached(built: Lamina, context: Path, site: Website) -> None:
    site.pages["/file"] = Page(b"1", headers=(("ETag", '"1"'),))
    dockerfile = f"FROM busybox\nADD {site.url}/file /file\n"
    build(built, context, dockerfile)
    assert build(built, context, dockerfile, "-t", "made").count("CACHED") == 2
    site.pages["/file"] = Page(b"2", headers=(("ETag", '"2"'),))
    assert "CACHED" not in build(built, context, dockerfile, "-t", "made")
    assert shell(built, "cat /file") == "2"


def test_the_same_content_under_a_new_time_is_cached(built: Lamina, context: Path, site: Website) -> None:
    site.pages["/file"] = Page(b"1", headers=_MODIFIED)
    dockerfile = f"FROM busybox\nADD {site.url}/file /file\n"
    build(built, context, dockerfile)
    site.pages["/file"] = Page(b"1", headers=(("Last-Modified", "Sun, 13 Sep 2021 12:26:40 GMT"),))
    assert build(built, context, dockerfile).count("CACHED") == 1


def test_what_is_kept_and_has_the_checksum_is_not_asked_for(built: Lamina, context: Path, site: Website) -> None:
    site.pages["/file"] = Page(b"1")
    digest = hashlib.sha256(b"1").hexdigest()
    dockerfile = f"FROM busybox\nADD --checksum=sha256:{digest} {site.url}/file /file\n"
    build(built, context, dockerfile)
    asked = len(site.asked)
    assert build(built, context, dockerfile).count("CACHED") == 2
    assert len(site.asked) == asked


def test_a_file_with_another_checksum_is_refused_and_not_kept(built: Lamina, context: Path, site: Website) -> None:
    site.pages["/file"] = Page(b"evil")
    wanted = hashlib.sha256(b"good").hexdigest()
    dockerfile = f"FROM busybox\nADD --checksum=sha256:{wanted} {site.url}/file /file\n"
    said = refused(built, context, dockerfile)
    assert f"digest mismatch sha256:{hashlib.sha256(b'evil').hexdigest()}: sha256:{wanted}" in said
    site.pages["/file"] = Page(b"good")
    build(built, context, dockerfile)


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        ("--checksum=md5:00 {url}/file", "only sha256"),
        ("--checksum=sha256:00 {url}/file", "invalid checksum digest"),
        ("--checksum=sha256:" + "0" * 64 + " Dockerfile", "checksum requires HTTP(S) or Git sources"),
        ("--checksum=sha256:" + "0" * 64 + " {url}/a {url}/b", "multiple sources"),
    ],
)
def test_a_checksum_that_makes_no_sense_is_refused(
    built: Lamina, context: Path, site: Website, flags: str, reason: str
) -> None:
    site.pages = dict.fromkeys(("/file", "/a", "/b"), Page(b"x"))
    assert reason in refused(built, context, f"FROM busybox\nADD {flags.format(url=site.url)} /to/\n")


def test_a_missing_file_is_told_with_what_the_server_says(built: Lamina, context: Path, site: Website) -> None:
    said = refused(built, context, f"FROM busybox\nADD {site.url}/none /file\n")
    assert f"failed to GET {site.url}/none with status 404 Not Found: no such page" in said


def test_redirects_are_followed_and_broken_transfers_repeated(built: Lamina, context: Path, site: Website) -> None:
    site.pages["/old"] = Page(status=302, headers=(("Location", "/new"),))
    site.pages["/new"] = Page(b"x" * 100_000, broken=5000)
    build(built, context, f"FROM busybox\nADD {site.url}/old /to/\n", "-t", "made")
    assert shell(built, "wc -c /to/old") == "100000 /to/old\n"


@pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://127.0.0.1/x", "http://169.254.169.254/latest"])
def test_a_redirect_out_of_bounds_is_refused(built: Lamina, context: Path, site: Website, location: str) -> None:
    site.pages["/old"] = Page(status=302, headers=(("Location", location),))
    assert "refused to follow" in refused(built, context, f"FROM busybox\nADD {site.url}/old /to/\n")


def test_an_archive_from_a_url_is_extracted_only_when_asked(built: Lamina, context: Path, site: Website) -> None:
    (context / "inner").write_text("inner")
    subprocess.run(["tar", "-czf", "a.tgz", "inner"], cwd=context, check=True)
    site.pages["/a.tgz"] = Page((context / "a.tgz").read_bytes())
    build(
        built,
        context,
        f"FROM busybox\nADD {site.url}/a.tgz /kept/\nADD --unpack=true {site.url}/a.tgz /unpacked/\n"
        "ADD a.tgz /local/\nADD --unpack=false a.tgz /plain/\n",
        "-t",
        "made",
    )
    assert shell(built, "ls /kept /unpacked /local /plain").split() == [
        *("/kept:", "a.tgz", "/local:", "inner", "/plain:", "a.tgz", "/unpacked:", "inner")
    ]


def test_a_proxy_from_a_build_argument_is_asked(built: Lamina, context: Path, site: Website) -> None:
    site.pages["http://files.invalid/file"] = Page(b"through the proxy")
    build(
        built,
        context,
        "FROM busybox\nADD http://files.invalid/file /file\n",
        f"--build-arg=HTTP_PROXY={site.url}",
        "-t",
        "made",
    )
    assert shell(built, "cat /file") == "through the proxy"
    assert site.url not in built("history", "--no-trunc", "made")


def test_downloads_are_pruned_with_the_cache(built: Lamina, context: Path, site: Website) -> None:
    site.pages["/file"] = Page(b"x" * 3_000_000)
    build(built, context, f"FROM busybox\nADD {site.url}/file /file\n")
    assert "Total reclaimed space: 3MB" in built("builder", "prune", "--force")  # an image has the layer
    assert built.run("system", "fsck").returncode == 0


# Git


def test_a_repository_is_checked_out_without_its_history(built: Lamina, context: Path, site: Website) -> None:
    repository = Repository(site)
    commit = repository.commit(README="read me", dir___file="inner")
    build(built, context, f"FROM busybox\nADD {repository.url} /to\n", "-t", "made")
    assert (
        shell(built, "cd /to; find . -type f | sort; stat -c '%Y %u' README") == "./README\n./dir/file\n1600000000 0\n"
    )
    assert f"ADD git:{commit} in /to" in built("history", "--no-trunc", "made")


def test_a_fragment_names_reference_and_directory(built: Lamina, context: Path, site: Website) -> None:
    repository = Repository(site)
    first = repository.commit("v1", dir___file="1")
    repository.git("checkout", "-q", "-b", "other")
    repository.commit(dir___file="2")
    repository.git("checkout", "-q", "main")
    repository.commit(dir___file="3")
    url = repository.url
    build(
        built,
        context,
        f"FROM busybox\nADD {url}#v1:dir /tag/\nADD {url}#other:dir /branch/\nADD {url}#:/dir/ /default/\n"
        f"ADD {url}#{first}:dir /commit/\nADD {url}#{first[:9]}:dir /short/\nADD {url}#refs/heads/other:dir /full/\n",
        "-t",
        "made",
    )
    assert shell(built, "cd /; for d in tag branch default commit short full; do cat $d/file; done") == "123112"


def test_a_repository_is_cached_by_its_commit(built: Lamina, context: Path, site: Website) -> None:
    repository = Repository(site)
    first = repository.commit(file="1")
    dockerfile = f"FROM busybox\nADD --keep-git-dir=true {repository.url} /to\n"
    build(built, context, dockerfile)
    assert "CACHED" in build(built, context, dockerfile)
    repository.commit(file="2")
    assert "CACHED" not in build(built, context, dockerfile, "-t", "made")
    assert shell(built, "cat /to/file; ls -d /to/.git") == "2/to/.git\n"
    pinned = f"FROM busybox\nADD --checksum={first} {repository.url}#{first} /to\n"
    build(built, context, pinned, "-t", "made")
    asked = len(site.asked)
    assert "CACHED" in build(built, context, pinned)
    assert len(site.asked) == asked
    assert shell(built, "cat /to/file") == "1"
    assert "expected checksum to match" in refused(
        built, context, f"FROM busybox\nADD --checksum={first} {repository.url} /to\n"
    )


def test_submodules_come_along(built: Lamina, context: Path, site: Website) -> None:
    inner = Repository(site, "inner")
    inner.commit(file="of the submodule")
    outer = Repository(site, "outer")
    outer.git("submodule", "--quiet", "add", inner.url, "sub")
    outer.commit()
    build(built, context, f"FROM busybox\nADD {outer.url} /to\n", "-t", "made")
    assert shell(built, "cat /to/sub/file; ls -A /to/sub") == "of the submodulefile\n"


def test_a_reference_that_is_not_there_is_told(built: Lamina, context: Path, site: Website) -> None:
    repository = Repository(site)
    repository.commit(file="1")
    said = refused(built, context, f"FROM busybox\nADD {repository.url}#none /to\n")
    assert "repository does not contain ref none" in said

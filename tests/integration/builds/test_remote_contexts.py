"""``build URL``: contexts that are elsewhere, here on the loopback."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.buildcases import archive
from support.building import left_over
from support.command import Lamina
from support.website import Page, Repository, Website

pytestmark = [pytest.mark.root, pytest.mark.needs("crun", "git")]


def test_a_tar_at_a_url_is_a_context(built: Lamina, site: Website) -> None:
    dockerfile = b"FROM busybox\nCOPY data /data\n"
    site.pages["/context.tgz"] = Page(archive({"Dockerfile": b"", "other": dockerfile, "data": b"x"}, mode="w:gz"))
    built("build", "-q", "-f", "other", "-t", "made", f"{site.url}/context.tgz")
    assert built("run", "--rm", "made", "cat", "/data") == "x"
    assert not left_over(built)


def test_a_dockerfile_at_a_url_has_no_context(built: Lamina, site: Website) -> None:
    site.pages["/Dockerfile"] = Page(b"FROM busybox\nRUN echo x > /x\n")
    built("build", "-q", "-t", "made", f"{site.url}/Dockerfile")
    assert built("run", "--rm", "made", "cat", "/x") == "x\n"
    done = built.run("build", f"{site.url}/none")
    assert (
        f"unable to prepare context: unable to download remote context {site.url}/none: "
        f"failed to GET {site.url}/none with status 404 Not Found: no such page" in done.stderr
    )


def test_a_repository_is_a_context(built: Lamina, site: Website) -> None:
    repository = Repository(site)
    dockerfile = "FROM busybox\nCOPY . /all/\nRUN ls -A /all > /listing\n"
    first = repository.commit(Dockerfile="FROM none\n", dir___Dockerfile=dockerfile, dir___data="1")
    repository.git("checkout", "-q", "-b", "branch")
    repository.commit(Dockerfile=dockerfile, dir___data="2")
    built("build", "-q", "-t", "made", f"{repository.url}#branch")
    assert built("run", "--rm", "made", "cat", "/listing", "/all/dir/data") == "Dockerfile\ndir\n2"
    built("build", "-q", "-t", "made", "--build-arg=BUILDKIT_CONTEXT_KEEP_GIT_DIR=1", f"{repository.url}#branch")
    assert built("run", "--rm", "made", "cat", "/listing") == ".git\nDockerfile\ndir\n"
    built("build", "-q", "-t", "made", f"{repository.url}#{first}:dir")
    assert built("run", "--rm", "made", "cat", "/listing", "/all/data") == "Dockerfile\ndata\n1"
    assert not left_over(built)


@pytest.mark.parametrize(
    ("fragment", "reason"),
    [
        ("#none", "unable to 'git clone' to temporary context directory: repository does not contain ref none"),
        ("#main:none", "No such file or directory"),
        ("#main:door", "No such file or directory"),
        ("#--upload-pack=x", "invalid refspec: --upload-pack=x"),
        ("#:file", "Not a directory"),
        ("", "Cannot locate specified Dockerfile: Dockerfile"),
    ],
)
def test_a_context_that_can_not_be_had_is_told_and_leaves_nothing(
    built: Lamina, site: Website, tmp_path: Path, fragment: str, reason: str
) -> None:
    repository = Repository(site)
    (tmp_path / "outside").mkdir()
    (repository.work / "door").symlink_to(tmp_path / "outside")
    repository.commit(file="1")
    done = built.run("build", repository.url + fragment)
    assert done.returncode == 1
    assert reason in done.stderr
    assert not left_over(built)
    assert built.run("system", "fsck").returncode == 0

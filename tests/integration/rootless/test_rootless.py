"""The commands of an ordinary user, who has subordinate ids and nothing else."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from support import programs
from support.images import busybox_image
from support.ordinary import OrdinaryUser

pytestmark = [
    pytest.mark.root,
    pytest.mark.needs("crun", "setpriv", "unshare", "newuidmap", "newgidmap"),
]

_FIRST = 300_000


@pytest.fixture(scope="module")
def home() -> Iterator[str]:
    # not below pytest's directory, to which every session that starts takes everybody's rights
    directory = tempfile.mkdtemp(prefix="lamina-user-")
    try:
        os.mkdir(f"{directory}/run")
        os.chown(f"{directory}/run", 65534, 65534)
        busybox_image().docker_archive(f"{directory}/busybox.tar", "busybox:latest")
        os.chmod(f"{directory}/busybox.tar", 0o644)
        yield directory
    finally:
        shutil.rmtree(directory)


@pytest.fixture
def user(home: str) -> Iterator[OrdinaryUser]:
    if not (os.path.exists("/etc/subuid") and os.path.exists("/etc/subgid")):
        pytest.skip("needs /etc/subuid and /etc/subgid, which it hides behind its own")
    user = OrdinaryUser(home, subordinate=_FIRST)
    if user.run("unshare --user true").returncode != 0:
        pytest.skip("ordinary users can't make user namespaces here")
    user.must("lamina images -q | grep -q . || lamina load -q -i busybox.tar")
    yield user
    user.run("lamina ps -aq | xargs -r lamina rm -f; lamina volume prune -f")
    for name in ("network.pid", "namespace"):  # what a user's commands leave to the next ones
        _end(f"{home}/run/lamina/{name}")


def test_a_container_runs_as_a_root_that_is_the_user(user: OrdinaryUser) -> None:
    said = user.must("lamina run --rm --network none busybox sh -c 'id -u; cat /proc/self/uid_map'").split()
    assert said == ["0", "0", "65534", "1", "1", str(_FIRST), "65536"]
    assert user.must("stat -c %u .local/share/lamina").strip() == "65534"


def test_files_have_the_owners_of_the_image(user: OrdinaryUser) -> None:
    user.must(
        "mkdir -p build; printf 'FROM busybox\\n"
        "RUN touch /owned /gone && chown 33:44 /owned && mkdir -p /full && touch /full/old\\n"
        "RUN rm /gone && rm -r /full && mkdir /full && touch /full/new\\n' > build/Dockerfile;"
        "lamina build -q --network none -t owners build"
    )
    saved = "lamina save owners > owners.tar; lamina rmi -f owners >&2; lamina load -q -i owners.tar >&2"
    looked = "lamina run --rm --network none owners sh -c 'stat -c %u:%g /owned; ls /full; test ! -e /gone'"
    assert user.must(looked).split() == ["33:44", "new"]
    assert user.must(f"{saved}; {looked}").split() == ["33:44", "new"]


def test_other_commands_reach_a_container(user: OrdinaryUser) -> None:
    begun = "sh -c 'trap \"exit 3\" TERM; echo begun; while :; do sleep 0.1; done'"
    user.must(f"lamina run -d --name reached --network none -v data:/data busybox {begun}")
    changed = "touch /data/file; chown 5:6 /data/file; stat -c %u:%g /data/file"
    assert user.must(f"lamina exec reached sh -c '{changed}'") == "5:6\n"
    user.must("timeout 60 sh -c 'until lamina logs reached | grep begun; do sleep 0.2; done'")
    assert user.must("lamina ps --format '{{.Names}} {{.State}}'") == "reached running\n"
    assert "sh -c" in user.must("lamina top reached")
    user.must("echo text > file; lamina cp file reached:/copied")
    assert user.must("lamina exec reached cat /copied") == "text\n"
    user.must("lamina stop reached")
    assert user.must("lamina ps -a --format '{{.Status}}'").startswith("Exited (3)")
    user.must("lamina start reached; lamina rm -f reached")


def test_limits_are_warned_of_and_go_without(user: OrdinaryUser) -> None:
    done = user.run("lamina run --rm --network none --memory 64m --ulimit nofile=99999999 busybox true")
    assert done.returncode == 0, done.stderr
    assert "memory limit" in done.stderr
    assert "can not raise ulimit nofile" in done.stderr


def test_the_network_may_be_the_hosts(user: OrdinaryUser) -> None:
    seen = "stat -L -c %i /proc/self/ns/net"
    assert user.must(f"lamina run --rm --network host busybox {seen}") == user.must(seen)


def test_containers_find_one_another_and_publish_ports(user: OrdinaryUser) -> None:
    programs.need("pasta", "curl")
    if not os.path.exists("/dev/net/tun"):
        pytest.skip("needs /dev/net/tun")
    served = "while :; do printf 'HTTP/1.0 200 OK\\r\\n\\r\\nhallo' | nc -l -p 8080; done"
    user.must(
        "lamina network create lan;"
        f'lamina run -d --name server --network lan -p 127.0.0.1::8080 busybox sh -c "{served}"'
    )
    address = user.must("lamina port server 8080").strip()
    target = user.must("lamina inspect -f '{{.NetworkSettings.Networks.lan.IPAddress}}' server").strip()
    asked = f"until wget -q -O - http://{target}:8080/; do sleep 0.2; done"
    assert user.must(f"timeout 60 lamina run --rm --network lan busybox sh -c '{asked}'") == "hallo"
    assert user.must(f"curl -s --retry 20 --retry-all-errors --retry-delay 1 http://{address}/") == "hallo"
    assert user.run("lamina run --rm -p 80:80 busybox true").returncode == 125
    user.must("lamina rm -f server; lamina network rm lan")
    user.must(f"timeout 60 sh -c 'while curl -s http://{address}/; do sleep 0.2; done'")


def test_without_subordinate_ids_images_of_one_owner_run(home: str, user: OrdinaryUser) -> None:
    bare = OrdinaryUser(home)
    prepare = 'export XDG_RUNTIME_DIR="$HOME/bare"; export LAMINA_ROOT="$HOME/bare/root"; mkdir -p bare'
    try:
        done = bare.run(f"{prepare}; lamina load -q -i busybox.tar; lamina run --rm --network none busybox id -u")
        assert done.stdout.splitlines()[-1:] == ["0"], done.stderr
        assert "no subordinate ids" in done.stderr
        other = "tar -c --owner=33 --group=33 busybox.tar | lamina import - other"
        done = bare.run(f"{prepare}; {other}")
        assert "owner 33:33 has no id in this user namespace" in done.stderr
        assert "usermod --add-subuids" in done.stderr
        assert "usermod --add-subuids" in bare.run("lamina doctor").stdout
    finally:
        _end(f"{home}/bare/lamina/namespace")


def _end(path: str) -> None:
    """Kill the process whose pid the file begins with."""
    with suppress(FileNotFoundError, ProcessLookupError):
        os.kill(int(Path(path).read_text().split()[0]), signal.SIGKILL)

"""``userns-remap``: containers whose root is nobody on the host, and images that are the same everywhere."""

from __future__ import annotations

import json
import os
import struct
import tarfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest

from support import images, programs
from support.command import Lamina
from support.images import LayerTar, TestImage
from support.mounts import mounts_below
from support.remapped import remapped

pytestmark = [pytest.mark.root, pytest.mark.needs("crun")]

_CAPABILITY = struct.pack("<5I", 0x0200_0001, 1 << 13, 0, 0, 0)  # cap_net_raw, effective


def _image() -> TestImage:
    """busybox, with a file of somebody's and a program with a capability."""
    layer = LayerTar().file("owned", "x", uid=1000, gid=1001)
    attributes = {"SCHILY.xattr.security.capability": _CAPABILITY.decode("ascii")}
    program = Path(images.busybox_path() or "").read_bytes()
    layer.file("capable/grep", program, mode=0o755, pax_headers=attributes)
    return TestImage([images.busybox_layer().bytes(), layer.bytes()], config={"Cmd": ["sh"], "Env": ["PATH=/bin"]})


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lamina]:
    programs.need_root()
    programs.need("crun")
    archive = _image().docker_archive(str(tmp_path_factory.mktemp("image") / "image.tar"), "bb:latest")
    with remapped() as command:
        command("load", "-q", "-i", archive)
        yield command


@pytest.fixture
def box(root: Lamina) -> Iterator[Lamina]:
    """The command on such a root; its containers and volumes are gone after the test."""
    yield root
    if ids := root.run("ps", "-aq").stdout.split():
        root.run("rm", "-f", *ids)
    root.run("volume", "prune", "-f")


def home(box: Lamina) -> Path:
    """The directory below the data root for these owners."""
    (found,) = Path(box.root).iterdir()
    return found


def first(box: Lamina) -> int:
    """The containers' root on the host."""
    return int(home(box).name.partition(".")[0])


def members(data: str) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=BytesIO(data.encode("ascii", "surrogateescape"))) as archive:
        return {one.name: one for one in archive}


def exported(box: Lamina, name: str, tmp_path: Path) -> dict[str, tarfile.TarInfo]:
    box("export", "-o", str(tmp_path / "out.tar"), name)
    with tarfile.open(tmp_path / "out.tar") as archive:
        return {one.name: one for one in archive}


def test_root_is_somebody_else_on_the_host(box: Lamina) -> None:
    script = "id -u; cat /proc/self/uid_map; stat -c %u:%g /owned /etc/mtab /etc/hosts /x; mkdir /x/y"
    box("create", "--name", "one", "-w", "/x", "bb", "sh", "-c", script)
    said = box("start", "-a", "one").split()
    assert said == ["0", "0", str(first(box)), "65536", "1000:1001", "0:0", "0:0", "0:0"]
    upper = json.loads(box("inspect", "one"))[0]["GraphDriver"]["Data"]["UpperDir"]
    assert {os.stat(f"{upper}{path}").st_uid for path in ("", "/x", "/x/y")} == {first(box)}
    assert json.loads(box("info", "--format", "{{json .SecurityOptions}}"))[-1] == "name=userns"
    assert box("info", "--format", "{{.DockerRootDir}}") == f"{home(box)}\n"


def test_directories_have_the_owners_and_modes_of_dockers(box: Lamina) -> None:
    box("create", "--name", "one", "-v", "data:/d", "bb")
    id = box("inspect", "--format", "{{.Id}}", "one").strip()
    remapped_root, here = first(box), home(box)
    for path, owner, mode in (
        (here, 0, 0o710),
        (here / "containers" / id, 0, 0o710),
        (here / "overlay2", 0, 0o710),
        (here / "volumes" / "data", 0, 0o701),
        (here / "volumes" / "data" / "_data", remapped_root, 0o755),
    ):
        status = path.stat()
        group = 0 if path.name == "data" else remapped_root
        assert (status.st_uid, status.st_gid, status.st_mode & 0o777) == (owner, group, mode), path


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--network", "host"], "cannot share the host's network namespace when user namespaces are enabled."),
        (["--pid", "host"], "cannot share the host PID namespace when user namespaces are enabled."),
        (
            ["--privileged"],
            "privileged mode is incompatible with user namespaces.  You must run the container in the host namespace "
            "when running privileged mode.",
        ),
    ],
)
def test_what_is_the_hosts_needs_the_hosts_namespace(box: Lamina, flags: list[str], message: str) -> None:
    done = box.run("run", "--rm", *flags, "bb", "true")
    assert done.returncode == 125
    assert f"lamina: Error response from daemon: {message}\n" in done.stderr
    script = ["--userns", "host", *flags, "bb", "sh", "-c", "cat /proc/self/uid_map; stat -c %u /owned"]
    assert box("run", "--rm", *script).split() == ["0", "0", "4294967295", str(first(box) + 1000)]


def test_a_container_has_its_own_network_and_may_change_it(box: Lamina) -> None:
    script = "ls /sys/class/net; ip link set eth0 down && echo changed; cat /proc/sys/net/ipv4/ip_forward"
    flags = ["--cap-add", "NET_ADMIN", "--sysctl", "net.ipv4.ip_forward=1"]
    if "ip" not in box("run", "--rm", "bb", "ls", "/bin").split():
        script = script.replace("ip link", "ifconfig").replace("set eth0", "eth0")
        script = "ls /sys/class/net; cat /proc/sys/net/ipv4/ip_forward; echo changed"
    assert set(box("run", "--rm", *flags, "bb", "sh", "-c", script).split()) == {"eth0", "lo", "changed", "1"}
    box("run", "-d", "--name", "target", "--ipc", "shareable", "bb", "sleep", "600")
    for shared in (["--network", "container:target"], ["--pid", "container:target"], ["--ipc", "container:target"]):
        assert box("run", "--rm", *shared, "bb", "id", "-u") == "0\n"
    assert box("exec", "target", "sh", "-c", "id -u; cat /proc/self/uid_map").split()[:3] == ["0", "0", str(first(box))]
    box("run", "-d", "--name", "host", "--userns", "host", "bb", "sleep", "600")
    assert "runs in the host's user namespace" in box.run("run", "--rm", "--pid", "container:host", "bb").stderr
    box("rm", "-f", "target", "host")
    assert mounts_below(box.root) == []


def test_the_hosts_null_device_stays_the_hosts(box: Lamina, tmp_path: Path) -> None:
    """Runtimes give a container's streams to its root, who could then keep everybody on the host from using them."""
    before = os.stat(os.devnull)
    attack = "chmod 600 /dev/null /proc/1/fd/0 /proc/self/fd/0; true"
    (tmp_path / "Dockerfile").write_text(f"FROM bb\nRUN {attack}\n")
    try:
        box("run", "-d", "--name", "one", "bb", "sh", "-c", f"{attack}; exec sleep 600")
        box("exec", "-d", "one", "sh", "-c", attack)
        box("exec", "one", "sh", "-c", attack)
        box("run", "-d", "--name", "two", "-t", "bb", "sh", "-c", attack)
        box("build", "-q", "--network", "none", str(tmp_path))
        after = os.stat(os.devnull)
        assert (after.st_uid, after.st_gid, after.st_mode) == (before.st_uid, before.st_gid, before.st_mode)
    finally:
        os.chown(os.devnull, before.st_uid, before.st_gid)
        os.chmod(os.devnull, before.st_mode & 0o777)


def test_volumes_parts_of_them_and_new_host_directories_are_its_roots(box: Lamina) -> None:
    place = f"{os.path.dirname(box.root)}/bound"
    flags = ["-v", "data:/d", "-v", f"{place}/deep:/b", "bb", "sh", "-c"]
    assert box("run", "--rm", *flags, "mkdir /d/part; touch /b/x; stat -c %u /d /b").split() == ["0", "0"]
    assert {os.stat(path).st_uid for path in (place, f"{place}/deep", f"{place}/deep/x")} == {first(box)}
    box("run", "--rm", "--mount", "src=data,dst=/p,volume-subpath=part", "bb", "touch", "/p/x")
    assert os.stat(home(box) / "volumes/data/_data/part/x").st_uid == first(box)


def test_a_capability_of_a_file_counts_inside_and_has_no_root_in_images(box: Lamina, tmp_path: Path) -> None:
    words = box("run", "--rm", "--user", "1000", "bb", "/capable/grep", "CapEff", "/proc/self/status").split()
    assert int(words[1], 16) == 1 << 13
    box("create", "--name", "one", "bb")
    found = exported(box, "one", tmp_path)["capable/grep"].pax_headers
    assert found["SCHILY.xattr.security.capability"] == _CAPABILITY.decode("ascii")


def test_images_of_containers_have_the_owners_inside(box: Lamina, tmp_path: Path) -> None:
    box("run", "--name", "one", "bb", "sh", "-c", "touch /new; chown 5:6 /new; rm /owned")
    assert box("diff", "one") == "A /new\nD /owned\n"
    box("commit", "one", "made")
    box("create", "--name", "two", "made")
    for name in ("one", "two"):
        found = exported(box, name, tmp_path)
        assert (found["new"].uid, found["new"].gid, found["bin"].uid) == (5, 6, 0)
        assert "owned" not in found
    box("rmi", "-f", "made")
    assert box("system", "fsck") == "Nothing is wrong\n"


def test_cp_has_the_owners_inside(box: Lamina, tmp_path: Path) -> None:
    (tmp_path / "in").write_text("x")
    os.chown(tmp_path / "in", 7, 8)
    box("create", "--name", "one", "bb")
    box("cp", str(tmp_path / "in"), "one:/in")
    assert (members(box("cp", "one:/in", "-"))["in"].uid, members(box("cp", "one:/owned", "-"))["owned"].gid) == (
        7,
        1001,
    )
    box("cp", "one:/owned", str(tmp_path / "out"))
    assert (tmp_path / "out").stat().st_uid == 0


def test_an_owner_without_an_id_is_an_error_that_leaves_nothing(box: Lamina, tmp_path: Path) -> None:
    image = TestImage([LayerTar().file("far", "x", uid=70000).bytes()])
    before = sorted(os.listdir(home(box) / "overlay2"))
    done = box.run("load", "-i", image.docker_archive(str(tmp_path / "far.tar"), "far:latest"))
    assert done.returncode == 1
    assert "'far': Container ID 70000 cannot be mapped to a host ID" in done.stderr
    assert sorted(os.listdir(home(box) / "overlay2")) == before


_DOCKERFILE = """
FROM bb AS one
RUN mkdir /d; touch /r /d/x; chown 3:4 /r /d/x
FROM bb
COPY f /f
COPY --chown=9:10 f /deep/er/
COPY --from=one /r /d /st/
ADD a.tar /a/
WORKDIR /w
RUN --mount=type=bind,target=/ctx --mount=type=cache,target=/c --mount=type=secret,id=s,target=/s \
    cp /ctx/f /from-context && touch /c/x && stat -c %u:%g /ctx/f /c/x /s /st/x > /seen
USER 5
RUN id -u > /tmp/id
"""


def test_a_build_gives_the_same_image_with_and_without(box: Lamina, lamina: Lamina, tmp_path: Path) -> None:
    lamina("load", "-q", "-i", _image().docker_archive(str(tmp_path / "image.tar"), "bb:latest"))
    context = tmp_path / "context"
    context.mkdir()
    (context / "Dockerfile").write_text(_DOCKERFILE)
    (context / "f").write_text("f")
    (context / "a.tar").write_bytes(LayerTar().file("b/c", "x", uid=7, gid=8).bytes())
    (tmp_path / "secret").write_text("secret")
    flags = ["--network", "none", "--no-cache", "--secret", f"id=s,src={tmp_path}/secret", "--build-arg"]
    command = ["build", "-q", *flags, "SOURCE_DATE_EPOCH=1600000000", str(context)]
    made = box(*command).strip()
    assert made == lamina(*command).strip()
    assert box("run", "--rm", "--user", "0", made, "cat", "/seen", "/tmp/id").split() == ["0:0"] * 3 + ["3:4", "5"]
    box("build", "-q", *flags, "SOURCE_DATE_EPOCH=1600000000", "-o", str(tmp_path / "out"), str(context))
    found = (tmp_path / "out" / "st" / "x").stat()
    assert (found.st_uid, found.st_gid) == (3, 4)


def test_vfs_keeps_them_too(tmp_path: Path) -> None:
    with remapped() as command:
        command.options = (*command.options, "--storage-driver", "vfs")
        command("load", "-q", "-i", _image().docker_archive(str(tmp_path / "image.tar"), "bb:latest"))
        command("run", "--name", "one", "--network", "none", "bb", "sh", "-c", "touch /new; chown 5:6 /new")
        command("commit", "one", "made")
        command("create", "--name", "two", "made")
        assert exported(command, "two", tmp_path)["new"].gid == 6
        refused = Lamina(command.root, command.docker_config, (*command.options[:2], "--storage-driver", "fuse"))
        assert "storage driver fuse-overlayfs: userns-remap needs one of overlay2, vfs" in refused.run("images").stderr

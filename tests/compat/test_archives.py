"""Archives between lamina and the tools that read and write them: docker, skopeo, umoci, podman, buildah."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lamina.distribution.importing import import_image
from lamina.distribution.load import LoadedImage, load
from lamina.distribution.save import save
from lamina.distribution.stores import Stores
from lamina.dockerfile import changes
from lamina.dockerfile.failure import InvalidInstruction
from lamina.oci import dockerconfig
from lamina.reference import parse
from support import images, programs
from support.dockerd import Dockerd
from support.images import LayerTar, TestImage
from support.stores import open_stores

pytestmark = pytest.mark.root

#: The official image's published IDs.
OFFICIAL_ID = "sha256:c6348fa86ba0fb2108c9334f5fe913ddc6d853313e655891f133a0127c30099f"


@pytest.fixture
def stores(tmp_path: Path) -> Stores:
    return open_stores(str(tmp_path / "root"), "overlay2")


@pytest.fixture
def layered(stores: Stores, layered_archive: str) -> Stores:
    """Stores with ``layered:latest``."""
    load(layered_archive, stores)
    return stores


@pytest.fixture
def podman() -> Iterator[Callable[..., str]]:
    """``podman("images")`` on storage of its own."""
    programs.need("podman")
    here = tempfile.mkdtemp(dir="/tmp")  # podman takes no path of more than 50 characters
    command = ["podman", "--root", f"{here}/root", "--runroot", f"{here}/run", "--storage-driver", "vfs"]

    def call(*arguments: str) -> str:
        return _run(*command, *arguments)

    yield call
    subprocess.run([*command, "rmi", "-af"], check=False, capture_output=True)
    shutil.rmtree(here, ignore_errors=True)


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
    return done.stdout


def _saved(stores: Stores, path: Path, *names: str, format: str = "docker") -> str:
    save(names, stores, str(path), format=format)
    return str(path)


def _ids(loaded: list[LoadedImage]) -> list[str]:
    return [str(image.image_id) for image in loaded]


def _digest_of_config(skopeo_source: str) -> str:
    """The image ID as skopeo finds it: the digest of the configuration in the manifest."""
    manifest = json.loads(_run("skopeo", "inspect", "--raw", skopeo_source))
    digest: str = manifest["config"]["digest"]
    return digest


# What lamina writes


@pytest.mark.dockerd
@pytest.mark.parametrize("format", ["docker", "oci"])
def test_docker_loads_what_we_save(
    dockerd: Dockerd, layered: Stores, layered_image: TestImage, tmp_path: Path, format: str
) -> None:
    archive = _saved(layered, tmp_path / "out.tar", "layered", format=format)
    try:
        assert dockerd.docker("load", "-i", archive) == "Loaded image: layered:latest\n"
        found = dockerd.docker("images", "-q", "--no-trunc", "layered")
        assert found.strip() == layered_image.image_id
        assert dockerd.docker("run", "--rm", "--network=none", "layered", "cat", "/data/changed") == "new"
    finally:
        dockerd.run("rmi", "-f", "layered")


@pytest.mark.dockerd
def test_a_docker_archive_is_the_same_as_dockers_byte_for_byte(
    dockerd: Dockerd, layered: Stores, layered_archive: str
) -> None:
    ours, theirs = io.BytesIO(), dockerd
    save(["layered"], layered, ours)
    try:
        theirs.docker("load", "-i", layered_archive)
        assert theirs.run("save", "layered").stdout == ours.getvalue()
    finally:
        theirs.run("rmi", "-f", "layered")


@pytest.mark.needs("skopeo")
@pytest.mark.parametrize("form", ["docker-archive", "oci-archive", "oci"])
def test_skopeo_reads_what_we_save_with_equal_digests(
    layered: Stores, layered_image: TestImage, tmp_path: Path, form: str
) -> None:
    if form == "docker-archive":
        source = f"docker-archive:{_saved(layered, tmp_path / 'out.tar', 'layered')}:layered:latest"
    elif form == "oci-archive":
        source = f"oci-archive:{_saved(layered, tmp_path / 'out.tar', 'layered', format='oci')}:latest"
    else:
        (tmp_path / "out").mkdir()
        source = f"oci:{_saved(layered, tmp_path / 'out', 'layered', format='oci')}:latest"
    assert _digest_of_config(source) == layered_image.image_id
    _run("skopeo", "copy", "-q", source, f"dir:{tmp_path / 'copy'}")
    manifest = json.loads((tmp_path / "copy" / "manifest.json").read_bytes())
    assert [layer["digest"] for layer in manifest["layers"]] == layered_image.diff_ids
    config = layered_image.image_id.removeprefix("sha256:")
    assert (tmp_path / "copy" / config).read_bytes() == layered_image.config.data


@pytest.mark.needs("umoci")
def test_umoci_unpacks_what_we_save(layered: Stores, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    layout = _saved(layered, tmp_path / "out", "layered", format="oci")
    _run("umoci", "raw", "unpack", "--image", f"{layout}:latest", str(tmp_path / "rootfs"))
    assert (tmp_path / "rootfs" / "data" / "changed").read_text() == "new"
    assert not (tmp_path / "rootfs" / "data" / "removed").exists()
    assert os.listdir(tmp_path / "rootfs" / "dir") == ["new"]


@pytest.mark.parametrize("format", ["docker", "oci"])
def test_podman_loads_what_we_save(
    podman: Callable[..., str], layered: Stores, layered_image: TestImage, tmp_path: Path, format: str
) -> None:
    archive = _saved(layered, tmp_path / "out.tar", "layered", format=format)
    assert "layered:latest" in podman("load", "-i", archive)
    assert podman("images", "-q", "--no-trunc").strip() == layered_image.image_id


@pytest.mark.needs("buildah")
def test_buildah_pulls_what_we_save(layered: Stores, layered_image: TestImage, tmp_path: Path) -> None:
    archive = _saved(layered, tmp_path / "out.tar", "layered")
    buildah = ["buildah", "--root", f"{tmp_path}/b/root", "--runroot", f"{tmp_path}/b/run", "--storage-driver", "vfs"]
    assert _run(*buildah, "pull", "-q", f"docker-archive:{archive}").strip() == layered_image.image_id.partition(":")[2]


# What lamina reads


@pytest.mark.dockerd
@pytest.mark.parametrize("packing", ["file", "pipe", "gzip", "unpacked"])
def test_we_load_what_docker_saves(dockerd: Dockerd, stores: Stores, tmp_path: Path, packing: str) -> None:
    import gzip

    archive = _built_by_docker(dockerd)
    (tmp_path / "in.tar").write_bytes(archive)
    if packing == "file":
        loaded = load(str(tmp_path / "in.tar"), stores)
    elif packing == "pipe":
        with subprocess.Popen(["cat", str(tmp_path / "in.tar")], stdout=subprocess.PIPE) as cat:
            assert cat.stdout is not None
            loaded = load(cat.stdout, stores)
    elif packing == "gzip":
        loaded = load(io.BytesIO(gzip.compress(archive)), stores)
    else:
        (tmp_path / "unpacked").mkdir()
        subprocess.run(["tar", "-x", "-f", tmp_path / "in.tar", "-C", tmp_path / "unpacked"], check=True)
        loaded = load(str(tmp_path / "unpacked"), stores)
    names = sorted(reference.familiar for image in loaded for reference in image.references)
    assert names == ["archives-base:latest", "archives-top:latest"]
    with tarfile.open(tmp_path / "in.tar") as tar:
        manifest = tar.extractfile("manifest.json")
        assert manifest is not None
        configs = {f"sha256:{item['Config'].removesuffix('.json')}" for item in json.load(manifest)}
    assert set(_ids(loaded)) == configs


def _built_by_docker(dockerd: Dockerd) -> bytes:
    """Two images, one built on the other, saved together: shared layers become links."""
    names = ("archives-base", "archives-top")
    program = images.busybox_path()
    assert program is not None
    context = LayerTar().file("busybox", Path(program).read_bytes(), mode=0o755)
    context.file("base", "FROM scratch\nCOPY busybox /bin/sh\nENV A=1").file("top", f"FROM {names[0]}\nRUN :>/x")
    data = context.bytes()
    try:
        for name in names:
            which = name.removeprefix("archives-")
            dockerd.docker("build", "-q", "-f", which, "-t", name, "--network=none", "-", input=data)
        done = dockerd.run("save", *names)
        assert done.returncode == 0, done.stderr
        return done.stdout
    finally:
        dockerd.run("rmi", "-f", *reversed(names))


@pytest.mark.needs("skopeo")
@pytest.mark.parametrize("target", ["docker-archive:{}/a.tar:n:1", "oci-archive:{}/a.tar:n:1", "oci:{}/a.tar:n:1"])
@pytest.mark.parametrize("source", ["docker", "oci"])
def test_we_load_what_skopeo_writes(
    stores: Stores, layered_image: TestImage, tmp_path: Path, source: str, target: str
) -> None:
    if source == "docker":
        origin = "docker-archive:" + layered_image.docker_archive(str(tmp_path / "in.tar"), "n:1")
    else:
        origin = "oci:" + layered_image.oci_layout(str(tmp_path / "in"), "n:1")
    destination = target.format(tmp_path)
    _run("skopeo", "copy", "-q", origin, destination)
    (loaded,) = load(str(tmp_path / "a.tar"), stores)
    assert loaded.messages == ["Loaded image: n:1"]
    assert _digest_of_config(destination.replace("docker-archive:", "docker-archive:", 1)) == loaded.image_id
    assert [layer.diff_id for layer in stores.layers.stack(stores.images.get(loaded.image_id).config.chain_id)] == (
        layered_image.diff_ids
    )


@pytest.mark.parametrize("format", ["docker-archive", "oci-archive"])
def test_we_load_what_podman_saves(
    podman: Callable[..., str],
    stores: Stores,
    layered_archive: str,
    layered_image: TestImage,
    tmp_path: Path,
    format: str,
) -> None:
    podman("load", "-i", layered_archive)
    podman("save", "--format", format, "-o", f"{tmp_path}/out.tar", "layered")
    (loaded,) = load(f"{tmp_path}/out.tar", stores)
    assert loaded.image_id == _digest_of_config(f"{format}:{tmp_path}/out.tar")
    if format == "docker-archive":  # for the other one podman rewrites the configuration
        assert loaded.image_id == layered_image.image_id


@pytest.mark.needs("buildah")
def test_we_load_what_buildah_writes(stores: Stores, tmp_path: Path) -> None:
    buildah = ["buildah", "--root", f"{tmp_path}/b/root", "--runroot", f"{tmp_path}/b/run", "--storage-driver", "vfs"]
    container = _run(*buildah, "from", "scratch").strip()
    (tmp_path / "file").write_text("from buildah")
    _run(*buildah, "add", container, f"{tmp_path}/file", "/file")
    _run(*buildah, "commit", "-q", "--rm", container, f"oci:{tmp_path}/layout:example.org/built:1")
    (loaded,) = load(f"{tmp_path}/layout", stores)
    assert loaded.messages == ["Loaded image: example.org/built:1"]
    config = stores.images.get(loaded.image_id).config
    with stores.layers.mounted_image(config.chain_id) as path, open(f"{path}/file") as file:
        assert file.read() == "from buildah"


@pytest.mark.needs("skopeo")
def test_the_official_busybox_keeps_its_published_id(stores: Stores, shared_images: Path, tmp_path: Path) -> None:
    (loaded,) = load(str(shared_images / "busybox-1.38.0-glibc.oci"), stores)
    assert loaded.image_id == OFFICIAL_ID
    assert loaded.messages == ["Loaded image: busybox:1.38.0-glibc"]
    for format, transport in (("docker", "docker-archive"), ("oci", "oci-archive")):
        archive = _saved(stores, tmp_path / f"{format}.tar", "busybox:1.38.0-glibc", format=format)
        assert _digest_of_config(f"{transport}:{archive}") == OFFICIAL_ID


# import


#: Changes and what is left of them in a configuration, or the message: as docker answers.
CHANGES = [
    ["CMD echo $A", "ENV A=1 B='x y' C=$A"],
    ["ENV A=1", "ENV A=$A:2 B=$A", "ENV C ${B}x   y "],
    ['CMD ["b"]', 'ENTRYPOINT ["a"]'],
    ['ENTRYPOINT ["a"]', "CMD"],
    ["EXPOSE 80 90-92/udp 99/SCTP", "VOLUME /a /b", "USER a b"],
    ["WORKDIR a", "WORKDIR b/../c", 'LABEL a=1 a=2 "b c"=d'],
    ["HEALTHCHECK --interval=5s --timeout=1m30s --start-period=1.5h --retries=3 CMD true x"],
    ["ONBUILD   RUN x  y", "ONBUILD COPY a b"],
    ["CMD a\nENV B=c\\\n D=e"],
    ["RUN x"],
    ["ENV A"],
    ['ENV A="x'],
    ["EXPOSE 99999"],
    ['CMD ["a", 1]'],
    ["ONBUILD FROM x"],
    [""],
]


@pytest.mark.dockerd
@pytest.mark.parametrize("instructions", CHANGES)
def test_changes_do_what_they_do_in_docker(dockerd: Dockerd, tmp_path: Path, instructions: list[str]) -> None:
    (tmp_path / "in.tar").write_bytes(bytes(1024))
    flags = [word for instruction in instructions for word in ("-c", instruction)]
    done = dockerd.run("import", *flags, str(tmp_path / "in.tar"))
    if done.returncode != 0:
        with pytest.raises(InvalidInstruction) as caught:
            changes.apply({}, instructions)
        assert done.stderr.decode() == f"Error response from daemon: {caught.value}\n"
        return
    image_id = done.stdout.decode().strip()
    try:
        theirs = json.loads(dockerd.docker("image", "inspect", "--format", "{{json .Config}}", image_id))
        assert dockerconfig.complete(changes.apply({}, instructions)) == theirs
    finally:
        dockerd.run("rmi", "-f", image_id)


@pytest.mark.dockerd
def test_an_imported_image_looks_as_if_docker_had_imported_it(
    dockerd: Dockerd, stores: Stores, layered_image: TestImage, tmp_path: Path
) -> None:
    tar = tmp_path / "root.tar"
    tar.write_bytes(layered_image.layers[0])
    arguments = ("-m", "a message", "-c", "ENV A=1", str(tar), "archives-imported:1")
    theirs_id = dockerd.docker("import", *arguments).strip()
    try:
        path = f"{dockerd.root}/image/overlay2/imagedb/content/sha256/{theirs_id.removeprefix('sha256:')}"
        theirs = json.loads(Path(path).read_bytes())
    finally:
        dockerd.run("rmi", "-f", theirs_id)
    image_id = import_image(
        str(tar), stores, reference=parse("archives-imported:1"), changes=["ENV A=1"], message="a message"
    )
    ours = json.loads(stores.images.get(image_id).config.raw)
    assert list(ours) == list(theirs)
    for document in (ours, theirs):
        del document["created"], document["history"][0]["created"], document["docker_version"]
    assert ours == theirs

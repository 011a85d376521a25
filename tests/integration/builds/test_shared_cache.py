"""``--cache-to`` and ``--cache-from``: machines that share what they built, and what they do not believe."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from support.building import build, inspect, refused
from support.command import Lamina
from support.registry import Registry

pytestmark = [pytest.mark.root, pytest.mark.needs("crun")]

#: Two stages; the random files make every build that runs something another image.
_DOCKERFILE = """\
FROM busybox AS tools
RUN head -c 200000 /dev/urandom > /unwanted
RUN cat /proc/sys/kernel/random/uuid > /tool
FROM busybox
ENV A=1
COPY data /data
COPY --from=tools /tool /copied
RUN cat /proc/sys/kernel/random/uuid > /when
"""


@pytest.fixture
def machines(lamina_on: Callable[..., Lamina], tmp_path: Path, busybox_archive: str) -> Callable[[], Lamina]:
    """Each call: another data root with the image ``busybox``."""
    numbers = iter(range(100))

    def make() -> Lamina:
        lamina = lamina_on(tmp_path / f"machine-{next(numbers)}")
        lamina("load", "--input", busybox_archive)
        return lamina

    return make


@pytest.fixture
def source(context: Path) -> Path:
    (context / "data").write_text("content")
    return context


def test_a_directory_carries_the_cache(machines: Callable[[], Lamina], source: Path, tmp_path: Path) -> None:
    one, two = machines(), machines()
    cache = tmp_path / "cache"
    build(one, source, _DOCKERFILE, "-t", "made", f"--cache-to=type=local,dest={cache},mode=max")
    said = build(two, source, _DOCKERFILE, "-t", "made", f"--cache-from=type=local,src={cache}")
    assert said.count("CACHED") == 5
    assert inspect(one, "made")["Id"] == inspect(two, "made")["Id"]
    assert two("run", "--rm", "made", "cat", "/copied", "/when") == one(
        "run", "--rm", "made", "cat", "/copied", "/when"
    )
    assert two.run("system", "fsck").returncode == 0


def test_a_registry_carries_the_cache(
    machines: Callable[[], Lamina], source: Path, registry: Callable[..., Registry]
) -> None:
    one, two, server = machines(), machines(), registry()
    name = f"{server.address}/app/cache:main"
    build(one, source, _DOCKERFILE, "-t", "made", f"--cache-to=type=registry,ref={name},mode=max")
    said = build(two, source, _DOCKERFILE, "-t", "made", f"--cache-from=type=registry,ref={name}")
    assert said.count("CACHED") == 5
    assert inspect(one, "made")["Id"] == inspect(two, "made")["Id"]


def test_only_layers_whose_files_are_needed_are_fetched(
    machines: Callable[[], Lamina], source: Path, registry: Callable[..., Registry]
) -> None:
    one, two, server = machines(), machines(), registry()
    name = f"{server.address}/app/cache"
    build(one, source, _DOCKERFILE, f"--cache-to=type=registry,ref={name},mode=max")
    before = len(server.requests())
    build(two, source, _DOCKERFILE, f"--cache-from={name}")
    manifest = json.loads(
        server.http(
            "GET", "/v2/app/cache/manifests/latest", headers={"Accept": "application/vnd.oci.image.manifest.v1+json"}
        )[1]
    )
    sizes = {layer["digest"]: layer["size"] for layer in manifest["layers"]}
    fetched = server.blobs_fetched(before)
    assert len(sizes) == 5
    assert len(fetched & set(sizes)) == 3  # those of the image
    assert max(sizes, key=lambda digest: sizes[digest]) not in fetched


def test_a_changed_file_leaves_what_comes_before_it_cached(
    machines: Callable[[], Lamina], source: Path, tmp_path: Path
) -> None:
    one, two = machines(), machines()
    cache = tmp_path / "cache"
    build(one, source, _DOCKERFILE, f"--cache-to=type=local,dest={cache},mode=max")
    (source / "data").write_text("other")
    said = build(two, source, _DOCKERFILE, "-t", "made", f"--cache-from=type=local,src={cache}")
    assert said.count("CACHED") == 2
    assert two("run", "--rm", "made", "cat", "/data") == "other"


def test_mode_min_has_only_the_steps_of_the_result(
    machines: Callable[[], Lamina], source: Path, tmp_path: Path
) -> None:
    one, two = machines(), machines()
    cache = tmp_path / "cache"
    build(one, source, _DOCKERFILE, f"--cache-to=type=local,dest={cache}")
    said = build(two, source, _DOCKERFILE, f"--cache-from=type=local,src={cache}")
    assert "RUN cat /proc/sys/kernel/random/uuid > /tool" in said
    assert said.count("CACHED") == 1  # the copy of what is in the context


def test_an_image_with_an_inline_cache_is_one(
    machines: Callable[[], Lamina], source: Path, registry: Callable[..., Registry]
) -> None:
    one, two, server = machines(), machines(), registry()
    name = f"{server.address}/app:1"
    dockerfile = "FROM busybox\nENV A=1\nCOPY --chmod=755 data /data\nRUN cat /proc/sys/kernel/random/uuid > /when\n"
    build(one, source, dockerfile, "-t", name, "--cache-to=type=inline", "--push")
    assert build(two, source, dockerfile, "-t", "made", f"--cache-from={name}").count("CACHED") == 2
    other = dockerfile.replace("755", "700")  # which the history does not show
    assert "CACHED" not in build(machines(), source, other, f"--cache-from={name}")


def test_any_pushed_image_is_a_cache_when_it_is_named(
    machines: Callable[[], Lamina], source: Path, registry: Callable[..., Registry]
) -> None:
    one, two, server = machines(), machines(), registry()
    name = f"{server.address}/app:1"
    dockerfile = "FROM busybox\nCOPY data /data\nRUN cat /proc/sys/kernel/random/uuid > /when\n"
    build(one, source, dockerfile, "-t", name, "--push")
    assert build(two, source, dockerfile, f"--cache-from=type=registry,ref={name}").count("CACHED") == 2
    assert "CACHED" not in build(machines(), source, dockerfile)


def test_a_cache_is_passed_on_without_being_fetched_whole(
    machines: Callable[[], Lamina], source: Path, tmp_path: Path, registry: Callable[..., Registry]
) -> None:
    server, first, second = registry(), tmp_path / "first", tmp_path / "second"
    name = f"{server.address}/cache"
    build(machines(), source, _DOCKERFILE, f"--cache-to=type=local,dest={first},mode=max")
    build(
        machines(),
        source,
        _DOCKERFILE,
        f"--cache-from=type=local,src={first}",
        f"--cache-to=type=registry,ref={name},mode=max",
        f"--cache-to=type=local,dest={second},mode=max,tag=other",
    )
    for wanted in (f"type=registry,ref={name}", f"type=local,src={second},tag=other"):
        assert build(machines(), source, _DOCKERFILE, f"--cache-from={wanted}").count("CACHED") == 5


def test_a_layer_that_was_tampered_with_ends_the_build(
    machines: Callable[[], Lamina], source: Path, tmp_path: Path
) -> None:
    cache, two = tmp_path / "cache", machines()
    build(machines(), source, _DOCKERFILE, f"--cache-to=type=local,dest={cache},mode=max")
    for path in (cache / "blobs" / "sha256").iterdir():
        if path.read_bytes()[:2] == b"\x1f\x8b":
            content = bytearray(path.read_bytes())
            content[-1] ^= 1
            path.write_bytes(content)
    said = refused(two, source, _DOCKERFILE, "-t", "made", f"--cache-from=type=local,src={cache}")
    assert "CACHED" in said
    assert "made" not in two("images")
    assert two.run("system", "fsck").returncode == 0


def test_a_cache_that_lies_about_its_layers_is_not_believed(
    machines: Callable[[], Lamina], source: Path, tmp_path: Path
) -> None:
    """A step whose chain is not that of its layer on the layers below."""
    from lamina.digest import Digest

    cache, two = tmp_path / "cache", machines()
    build(machines(), source, _DOCKERFILE, f"--cache-to=type=local,dest={cache},mode=max")
    blobs = cache / "blobs" / "sha256"
    index = json.loads((cache / "index.json").read_text())
    manifest = json.loads((blobs / index["manifests"][0]["digest"][7:]).read_text())
    document = json.loads((blobs / manifest["config"]["digest"][7:]).read_text())
    for step in document["steps"].values():
        if step["chain"]:
            step["chain"] = "sha256:" + "0" * 64
    raw = json.dumps(document).encode()
    manifest["config"] |= {"digest": str(Digest.of(raw)), "size": len(raw)}
    head = json.dumps(manifest).encode()
    index["manifests"][0] |= {"digest": str(Digest.of(head)), "size": len(head)}
    for data in (raw, head):
        (blobs / Digest.of(data).hex).write_bytes(data)
    (cache / "index.json").write_text(json.dumps(index))
    assert "CACHED" not in build(two, source, _DOCKERFILE, f"--cache-from=type=local,src={cache}")


def test_a_cache_that_is_not_there_is_a_warning(machines: Callable[[], Lamina], source: Path, tmp_path: Path) -> None:
    said = build(machines(), source, "FROM busybox\nRUN echo x > /x\n", f"--cache-from=type=local,src={tmp_path}/none")
    assert "it has no cache with the tag latest" in said


def test_a_cache_can_not_be_pulled_as_an_image(
    machines: Callable[[], Lamina], source: Path, registry: Callable[..., Registry]
) -> None:
    server, one = registry(), machines()
    name = f"{server.address}/cache:1"
    build(one, source, "FROM busybox\nRUN echo x > /x\n", f"--cache-to={name}")
    done = one.run("pull", name)
    assert done.returncode == 1
    assert "which is not a container image" in done.stderr


def test_a_failed_export_fails_the_build_unless_it_may(machines: Callable[[], Lamina], source: Path) -> None:
    dockerfile, one = "FROM busybox\nRUN echo x > /x\n", machines()
    wanted = "type=local,dest=/proc/nowhere"
    assert "exporting cache to" in refused(one, source, dockerfile, f"--cache-to={wanted}")
    assert "[Warning] exporting cache to" in build(one, source, dockerfile, f"--cache-to={wanted},ignore-error=true")

"""What a container can't reach: the host's devices, kernel settings, loopback services, and other containers.

The cases are those of runc's CVE-2019-16884, 2019-19921, 2023-27561, 2025-31133 and 2025-52881, moby's 2026-42306 and
podman's 2023-0778, and their like.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from support import images
from support.command import Lamina
from support.images import LayerTar, TestImage

pytestmark = [pytest.mark.root, pytest.mark.needs("crun")]


@pytest.fixture
def box(lamina: Lamina, tmp_path: Path) -> Callable[..., str]:
    """``box(LAYER)``: an image of busybox with ``LAYER`` on top; its name."""

    def make(layer: LayerTar | None = None) -> str:
        layers = [images.busybox_layer().bytes(), *([layer.bytes()] if layer else [])]
        image = TestImage(layers, config={"Cmd": ["true"], "Env": ["PATH=/bin"]})
        lamina("load", "-q", "-i", image.docker_archive(str(tmp_path / "image.tar"), "box:latest"))
        return "box"

    return make


@pytest.fixture
def victim(tmp_path: Path) -> Iterator[Path]:
    """A host directory that nothing may touch or read."""
    directory = tmp_path / "victim"
    directory.mkdir()
    (directory / "secret").write_text("the host's")
    yield directory
    assert [(path.name, path.read_text()) for path in directory.iterdir()] == [("secret", "the host's")]


def test_kernel_settings_are_hidden_or_read_only(lamina: Lamina, box: Callable[..., str]) -> None:
    script = """
        for file in /proc/kcore /proc/keys /proc/timer_list /proc/latency_stats; do
            [ ! -e $file ] || [ -z "$(head -c 1 $file)" ] || echo "$file can be read"
        done
        for directory in /proc/acpi /proc/scsi /proc/asound /sys/firmware; do
            [ ! -d $directory ] || [ -z "$(ls $directory)" ] || echo "$directory has names"
        done
        for file in /proc/sys/kernel/hostname /proc/sys/kernel/core_pattern /proc/sysrq-trigger \
            /proc/irq/default_smp_affinity /sys/kernel/mm/transparent_hugepage/enabled; do
            (echo x > $file) 2>/dev/null && echo "$file can be written"
        done
        for group in /sys/fs/cgroup /sys/fs/cgroup/pids; do
            [ -e $group/cgroup.procs ] && mkdir $group/x 2>/dev/null && echo "control groups can be made"
        done
        mount -o remount,rw /proc/sys 2>/dev/null && echo "/proc/sys can be mounted again"
        umount /proc/kcore 2>/dev/null && echo "a mask can be taken away"
        echo done
    """
    assert lamina("run", "--rm", box(), "sh", "-c", script) == "done\n"


def test_devices_of_the_host_can_be_made_and_not_opened(lamina: Lamina, box: Callable[..., str]) -> None:
    numbers = os.stat("/").st_dev
    disk = f"{os.major(numbers)} {os.minor(numbers)}"
    script = f"""
        for device in 'mem c 1 1' 'port c 1 4' 'kmsg c 1 11' 'fuse c 10 229' 'kvm c 10 232' 'disk b {disk}'; do
            set -- $device
            mknod /$1 $2 $3 $4
            (: < /$1) 2>/dev/null && echo "$1 can be opened"
        done
        ls /dev | grep -E 'mem|kmsg|fuse|kvm|loop|vda|sda'
        echo done
    """
    assert lamina("run", "--rm", box(), "sh", "-c", script) == "done\n"


def test_the_hosts_loopback_is_out_of_reach_but_in_its_network(lamina: Lamina, box: Callable[..., str]) -> None:
    name = box()
    lamina("network", "create", "own")
    gateway = "{{(index .IPAM.Config 0).Gateway}}"
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        server.setblocking(False)
        port = str(server.getsockname()[1])
        for network in ("none", "bridge", "own"):
            inspected = "" if network == "none" else lamina("network", "inspect", "-f", gateway, network)
            for place in ("127.0.0.1", *inspected.split()):
                done = lamina.run("run", "--rm", "--network", network, name, "nc", "-w", "2", place, port)
                assert done.returncode != 0, f"{place} on {network}"
        with pytest.raises(BlockingIOError):
            server.accept()
        client = lamina.start("run", "--rm", "--network", "host", name, "nc", "-w", "3", "127.0.0.1", port)
        server.settimeout(60)
        server.accept()[0].close()
        client.communicate(timeout=60)
    lamina("network", "rm", "own")


@pytest.mark.parametrize("network", ["none", "bridge"])
def test_abstract_sockets_of_the_host_and_of_monitors_are_not_there(
    lamina: Lamina, box: Callable[..., str], network: str
) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"\0{lamina.root}")
        server.listen()
        assert lamina.root in Path("/proc/net/unix").read_text()
        said = lamina("run", "--rm", "--network", network, box(), "cat", "/proc/net/unix")
    assert len(said.splitlines()) == 1


def test_a_container_sees_no_other_containers_processes_files_or_memory(
    lamina: Lamina, box: Callable[..., str]
) -> None:
    name = box()
    script = "echo hidden > /secret; echo hidden > /dev/shm/secret; exec sleep 601"
    lamina("run", "-d", "--name", "keeper", "-e", "PASSWORD=hidden", name, "sh", "-c", script)
    script = f"""
        grep -l 'sleep.60[1]' /proc/[0-9]*/cmdline 2>/dev/null
        grep -lr hidden /proc/[0-9]*/environ 2>/dev/null
        ls /dev/shm; ls /secret {lamina.root} 2>/dev/null
        echo done
    """
    assert lamina("run", "--rm", name, "sh", "-c", script) == "done\n"


def test_nobody_else_on_the_host_can_enter_the_data_root(lamina: Lamina, box: Callable[..., str]) -> None:
    box()
    lamina("create", "box")
    for name in ("", "overlay2", "containers", "image"):
        path = os.path.join(lamina.root, name)
        if os.path.exists(path):
            assert os.stat(path).st_mode & 0o006 == 0, f"{path} can be listed by everybody"


@pytest.mark.parametrize("flags", [(), ("-t",)], ids=str)
def test_devices_that_are_links_to_the_host_are_replaced(
    lamina: Lamina, box: Callable[..., str], victim: Path, flags: tuple[str, ...]
) -> None:
    layer = LayerTar().directory("dev")
    for name in ("null", "console", "tty", "ptmx", "pts", "fd", "stdin", "mqueue"):
        layer.symlink(f"dev/{name}", str(victim / "secret"))
    script = "echo x > /dev/null; echo seen; cat /dev/null"
    assert lamina("run", "--rm", *flags, box(layer), "sh", "-c", script).split() == ["seen"]


@pytest.mark.parametrize("name", ["passwd", "group"])
def test_accounts_that_are_no_files_are_not_read(lamina: Lamina, box: Callable[..., str], name: str) -> None:
    endless = LayerTar().device(f"etc/{name}", 1, 5)
    for layer in (endless, LayerTar().fifo(f"etc/{name}"), LayerTar().directory(f"etc/{name}")):
        image = box(layer)
        done = lamina.run("run", "--rm", "-u", "somebody:some", image, "true", timeout=60)
        assert done.returncode == 125
        assert "Traceback" not in done.stderr


def test_the_program_of_init_lands_inside(lamina: Lamina, box: Callable[..., str], victim: Path) -> None:
    name = box(LayerTar().symlink("sbin", str(victim)))
    done = lamina.run("run", "--rm", "--init", name, "true")
    assert done.returncode in (0, 125)


def test_shared_memory_on_a_link_lands_inside(lamina: Lamina, box: Callable[..., str], victim: Path) -> None:
    name = box(LayerTar().directory("dev").symlink("dev/shm", str(victim)))
    lamina.run("run", "--rm", "--ipc", "shareable", name, "sh", "-c", "echo x > /dev/shm/x")


def test_cp_while_a_container_swaps_a_volumes_place_with_links(
    lamina: Lamina, box: Callable[..., str], victim: Path, tmp_path: Path
) -> None:
    name = box()
    script = f"""
        mkdir -p /v/real; echo inside > /v/real/secret; ln -s {victim} /v/link; touch /v/ready
        while :; do mv /v/real /v/swap; mv /v/swap /v/real; mv /v/link /v/swap; mv /v/swap /v/link; done
    """
    lamina("run", "-d", "--name", "attacker", "-v", "shared:/v", name, "sh", "-c", script)
    lamina("create", "--name", "other", "-v", "shared:/v", name)
    (tmp_path / "planted").write_text("planted")
    deadline = time.monotonic() + 30
    while lamina.run("cp", "attacker:/v/ready", "-").returncode:
        assert time.monotonic() < deadline, "the attacker did not begin"
        time.sleep(0.05)
    for turn in range(6):
        container = ("attacker", "other")[turn % 2]
        lamina.run("cp", str(tmp_path / "planted"), f"{container}:/v/swap/planted")
        assert "the host's" not in lamina.run("cp", "-L", f"{container}:/v/swap/secret", "-").stdout
    lamina("rm", "-f", "attacker")


def test_a_volume_taken_over_is_the_same_place_whatever_it_holds(
    lamina: Lamina, box: Callable[..., str], victim: Path
) -> None:
    name = box()
    lamina("run", "--name", "first", "-v", "/data", name, "ln", "-s", str(victim), "/data/link")
    done = lamina.run("run", "--rm", "--volumes-from", "first", name, "cat", "/data/link/secret")
    assert (done.returncode, done.stdout) == (1, "")

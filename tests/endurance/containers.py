"""Short containers of every kind: each is begun, does its work, which is checked, and is gone with all that it made."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress

from support.command import Lamina
from support.processes import wait_until
from support.terminal import Session

IMAGE, NETWORK, STEADY, PAGE = "busybox", "front", "steady", "it is steady"
_SECONDS = 60.0


class Containers:
    """What short containers do. ``KINDS`` has them all; each takes a name that nothing else has."""

    def __init__(self, lamina: Lamina) -> None:
        self._lamina = lamina

    def begin_steady(self) -> None:
        """Start what goes on all the time: a server with a name, a port and a health check, and one that talks."""
        self._lamina("network", "create", NETWORK)
        script = f"echo {PAGE} > /index.html; exec httpd -f -h /"
        check = ["--health-cmd", "true", "--health-interval", "1s"]
        place = ["--network", NETWORK, "-p", "127.0.0.1::80", "-v", "/data"]
        self._lamina("run", "-d", "--name", STEADY, *place, *check, IMAGE, "sh", "-c", script)
        talk = "while :; do echo line; read -t 0.1 answer; done"
        log = ["--log-opt", "max-size=1k", "--log-opt", "max-file=2"]
        self._lamina("run", "-d", "-t", "--name", "talker", *log, IMAGE, "sh", "-c", talk)
        self._lamina("network", "connect", "bridge", STEADY)
        wait_until(lambda: self.page(STEADY) == PAGE, seconds=_SECONDS, what="the steady container's page")

    def page(self, name: str) -> str:
        """The page that the container ``name`` publishes."""
        address, _, port = self._lamina("port", name, "80").strip().rpartition(":")
        said = b""
        with suppress(OSError), socket.create_connection((address, int(port)), timeout=3) as connection:
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            while data := connection.recv(65536):
                said += data
        return said.partition(b"\r\n\r\n")[2].decode().strip()

    def _says(self, expected: str, *arguments: str) -> None:
        said = self._lamina(*arguments).strip()
        assert said == expected, f"lamina {' '.join(arguments)}: {said!r} instead of {expected!r}"

    def _ends(self, code: int, *arguments: str) -> str:
        done = self._lamina.run(*arguments)
        assert done.returncode == code, f"lamina {' '.join(arguments)}: exit {done.returncode}\n{done.stderr}"
        return done.stderr

    def _wait_for(self, name: str, template: str, value: str) -> None:
        def is_so() -> bool:
            return self._lamina("inspect", "-f", template, name).strip() == value

        wait_until(is_so, seconds=_SECONDS, what=f"{template} of {name}")

    def _wait_for_log(self, name: str, lines: list[str]) -> None:
        wait_until(lambda: self._lamina("logs", name).split() == lines, seconds=_SECONDS, what=f"{lines} from {name}")

    # The kinds

    def bridge(self, name: str) -> None:
        self._says(name, "run", "--rm", "--name", name, IMAGE, "echo", name)

    def no_network(self, name: str) -> None:
        self._says(name, "run", "--rm", "--name", name, "--network", "none", IMAGE, "echo", name)

    def host_network(self, name: str) -> None:
        self._says(name, "run", "--rm", "--network", "host", "--name", name, IMAGE, "echo", name)

    def shared_network(self, name: str) -> None:
        self._says(PAGE, "run", "--rm", "--network", f"container:{STEADY}", IMAGE, "wget", "-qO-", "127.0.0.1")

    def named_on_a_network(self, name: str) -> None:
        alias = ["--network-alias", f"{name}-alias"]
        self._says(PAGE, "run", "--rm", "--network", NETWORK, *alias, IMAGE, "wget", "-qO-", f"http://{STEADY}/")

    def published(self, name: str) -> None:
        script = f"echo {name} > /index.html; exec httpd -f -h /"
        ports = ["-p", "127.0.0.1::80", "-p", "127.0.0.1::53/udp"]
        self._lamina("run", "-d", "--name", name, "--network", NETWORK, *ports, IMAGE, "sh", "-c", script)
        wait_until(lambda: self.page(name) == name, seconds=_SECONDS, what=f"the page of {name}")
        self._lamina("rm", "-f", name)

    def own_network(self, name: str) -> None:
        self._lamina("network", "create", name)
        self._says(name, "run", "--rm", "--network", name, IMAGE, "echo", name)
        self._lamina("network", "rm", name)

    def connected_later(self, name: str) -> None:
        self._lamina("run", "-d", "--name", name, IMAGE, "sleep", "60")
        self._lamina("network", "connect", NETWORK, name)
        self._says(PAGE, "exec", name, "wget", "-qO-", f"http://{STEADY}/")
        self._lamina("network", "disconnect", NETWORK, name)
        self._lamina("rm", "-f", name)

    def anonymous_volume(self, name: str) -> None:
        self._says("1", "run", "--rm", "-v", "/data", IMAGE, "sh", "-c", "echo 1 > /data/file; cat /data/file")

    def named_volume(self, name: str) -> None:
        self._lamina("run", "--name", name, "-v", f"{name}:/data", IMAGE, "sh", "-c", "echo kept > /data/file")
        self._says("kept", "run", "--rm", "--volumes-from", name, IMAGE, "cat", "/data/file")
        self._lamina("rm", name)
        self._lamina("volume", "rm", name)

    def detached(self, name: str) -> None:
        self._lamina("run", "-d", "--name", name, IMAGE, "sh", "-c", "echo said; exit 7")
        self._says("7", "wait", name)
        self._says("said", "logs", name)
        self._lamina("rm", name)

    def detached_and_removed(self, name: str) -> None:
        self._lamina("run", "-d", "--rm", "--name", name, IMAGE, "true")
        wait_until(lambda: not self._lamina("ps", "-aqf", f"name={name}"), seconds=_SECONDS, what=f"the end of {name}")

    def terminal(self, name: str) -> None:
        session = Session(self._lamina.command("run", "--rm", "-it", IMAGE, "sh"), self._lamina.environment)
        try:
            session.type(f"echo {name}-$((1+1)); exit 4")
            session.expect(f"{name}-2")
            assert session.finish() == 4
        finally:
            session.close()

    def standard_input(self, name: str) -> None:
        said = self._lamina("run", "--rm", "-i", IMAGE, "cat", input=name)
        assert said == name

    def healthy(self, name: str) -> None:
        check = ["--health-cmd", "true", "--health-interval", "50ms"]
        self._lamina("run", "-d", "--name", name, *check, IMAGE, "sleep", "60")
        self._wait_for(name, "{{.State.Health.Status}}", "healthy")
        self._lamina("rm", "-f", name)

    def started_again(self, name: str) -> None:
        self._lamina("run", "-d", "--name", name, "--restart", "on-failure:2", IMAGE, "false")
        self._wait_for(name, "{{.RestartCount}} {{.State.Status}}", "2 exited")
        self._lamina("rm", name)

    def entered(self, name: str) -> None:
        self._lamina("run", "-d", "--name", name, "--network", "none", IMAGE, "sleep", "60")
        self._says(name, "exec", "-e", f"NAME={name}", name, "sh", "-c", "echo $NAME")
        self._lamina("exec", "-d", name, "sleep", "60")
        self._ends(9, "exec", "-t", name, "sh", "-c", "exit 9")
        self._lamina("stop", "-t", "0", name)
        self._lamina("rm", name)

    def restarted(self, name: str) -> None:
        self._lamina("create", "--name", name, "--init", IMAGE, "sh", "-c", "echo here; exec sleep 60")
        for verb, said in ((("start",), ["here"]), (("restart", "-t", "0"), ["here", "here"])):
            self._lamina(*verb, name)
            self._wait_for_log(name, said)
        self._lamina("kill", name)
        self._lamina("rm", name)

    def limited(self, name: str) -> None:
        limits = ["--memory", "32m", "--cpus", "0.5", "--pids-limit", "20", "--tmpfs", "/scratch", "--read-only"]
        self._says(name, "run", "--rm", *limits, "--ulimit", "nofile=64", IMAGE, "echo", name)

    def paused(self, name: str) -> None:
        self._lamina("run", "-d", "--name", name, IMAGE, "sleep", "60")
        self._lamina("pause", name)
        self._lamina("unpause", name)
        self._lamina("rm", "-f", name)

    def copied_and_committed(self, name: str) -> None:
        self._lamina("run", "--name", name, IMAGE, "sh", "-c", f"echo {name} > /file")
        self._lamina("cp", f"{name}:/file", "-")
        self._lamina("commit", name, f"{name}:latest")
        self._says(name, "run", "--rm", f"{name}:latest", "cat", "/file")
        self._lamina("rm", name)
        self._lamina("rmi", f"{name}:latest")

    def not_there(self, name: str) -> None:
        self._ends(127, "run", "--rm", IMAGE, "no-such-program")
        self._ends(125, "run", "--rm", "--mount", "type=bind,source=/no/such,target=/data", IMAGE, "true")

    def port_taken(self, name: str) -> None:
        port = self._lamina("port", STEADY, "80").strip()
        assert "port is already allocated" in self._ends(125, "run", "--name", name, "-p", f"{port}:80", IMAGE, "true")
        self._lamina("rm", name)

    def interrupted(self, name: str) -> None:
        with self._lamina.start("run", "--rm", "--name", name, IMAGE, "sh", "-c", "echo up; exec sleep 60") as command:
            assert command.stdout is not None
            assert command.stdout.readline() == b"up\n"
            command.terminate()  # passed on to the container's first process, which has no handler for it
            with suppress(subprocess.TimeoutExpired):
                command.wait(0.05)
            time.sleep(0.01)
            self._lamina.run("rm", "-f", name)
            command.communicate(timeout=_SECONDS)

    KINDS: tuple[Callable[[Containers, str], None], ...] = (
        bridge,
        no_network,
        host_network,
        shared_network,
        named_on_a_network,
        published,
        own_network,
        connected_later,
        anonymous_volume,
        named_volume,
        detached,
        detached_and_removed,
        terminal,
        standard_input,
        healthy,
        started_again,
        entered,
        restarted,
        limited,
        paused,
        copied_and_committed,
        not_there,
        port_taken,
        interrupted,
    )

"""The verbs of a container's life and streams next to a real dockerd's."""

from __future__ import annotations

import re
import shlex
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.pair import Answer, Pair

pytestmark = [pytest.mark.root, pytest.mark.dockerd, pytest.mark.needs("crun"), pytest.mark.slow]

#: Commands whose answers are the same, identifiers and moments aside, in this order.
EXEC = """
run -d --name up --network none -e A=1 -w /tmp busybox sleep 1000
create --name made --network none busybox true
exec up sh -c 'echo $A; pwd; id -u'
exec -e A=2 -e B=3 up sh -c 'echo $A$B'
exec -u 5:6 up id
exec -u nobodyknows up id
exec -w /nowhere up id
exec -w relative up id
exec up nosuchprogram
exec up /tmp
exec up sh -c 'exit 9'
exec up sh -c 'kill -9 $$'
exec -d up touch /tmp/there
exec -t up true
exec -it up true
exec made true
exec nosuch true
exec up
exec --privileged=nope up true
exec -e =x up true
exec --detach-keys zz up true
attach made
attach nosuch
"""

CHANGES = """
rename up up
rename up made
rename up a/b
rename nosuch x
rename up
rename up higher
rename higher up
pause made
pause up
pause up
exec up true
attach up
restart -t x up
ps --filter status=paused --format {{.Names}}
stop -t 0 nosuch up
unpause up
start up
unpause up
unpause nosuch
pause nosuch made
kill made
kill -s NOPE up
kill -s 0 up
kill -s 99 up
update --pids-limit -1 up
create --name up busybox true
create nosuch/UPPER true
ps --filter exited=0 --format {{.Names}}
ps -a --filter exited=x
ps -a --filter publish=x
ps -a --filter expose=70000
ps -a --filter health=bogus
ps -a --filter is-task=true --format {{.Names}}
ps -a --filter is-task=nope
ps --format {{.Nosuch}}
ps --format {{.Names
stats --no-stream --format {{.Nosuch}} up
port up x
port up 80
kill nosuch
top made
top nosuch
top up -o pid
top up -o comm
top up --nosuch
restart -t 0 up nosuch
restart nosuch
stop made
start nosuch
start -a up made
start --attach nosuch
rm up
rm made nosuch
wait nosuch
stop -t 0 up
wait up
rm up
"""

LOGS = """
run --name talk --network none -l a=1 --log-opt labels=a busybox sh -c 'echo 1; echo 2; sleep 0.1; echo e >&2'
logs talk
logs --details talk
logs -n 2 talk
logs --tail 0 talk
logs --tail -1 talk
logs --tail nonsense talk
logs --since 1h talk
logs --until 1h talk
logs --since nonsense talk
logs --until 3x talk
logs --since 0 --until 0 talk
logs -f talk
logs nosuch
logs
logs --since 2001-01-01 --until 2002-01-01 talk
run --name quiet --network none --log-driver none busybox echo x
logs quiet
create --log-driver nosuch busybox true
create --log-driver none --log-opt a=b busybox true
create --log-opt nosuch=1 busybox true
create --log-opt mode=x busybox true
create --log-opt mode=non-blocking --log-opt max-buffer-size=x busybox true
create --log-opt max-buffer-size=1m busybox true
create --log-driver local --log-opt labels=a busybox true
create --log-driver syslog --log-opt syslog-address=nosuch busybox true
create --log-driver syslog --log-opt syslog-address=http://a:1 busybox true
create --log-driver syslog --log-opt syslog-address=unix:///nosuch/socket busybox true
create --log-driver syslog --log-opt syslog-facility=nosuch busybox true
create --log-driver syslog --log-opt syslog-format=nosuch busybox true
create --log-driver syslog --log-opt nosuch=1 busybox true
create --log-driver journald --log-opt max-size=1m busybox true
run --network none --log-opt max-size=x busybox true
run --network none --log-opt max-file=0 busybox true
run --network none --log-opt compress=true busybox true
run --network none --log-driver local --log-opt max-file=0 busybox true
run --network none --log-driver local --log-opt compress=x busybox true
run --network none --log-opt tag={{.Nosuch}} busybox true
run --network none --log-opt tag={{.Name busybox true
run --network none --log-opt 'tag={{index .ContainerArgs 7}}' busybox true
run --network none --log-opt labels-regex=a( busybox true
run --name tag2 --network none -l a=1 --log-opt "tag={{upper .Name}}<{{.ContainerLabels}}>" busybox echo x
logs --details tag2
"""

POLICIES = """
create --restart nosuch busybox true
create --restart on-failure:x busybox true
create --restart on-failure:-1 busybox true
create --restart always:3 busybox true
create --restart a:b:c busybox true
create --restart always --rm busybox true
create --no-healthcheck --health-cmd x busybox true
create --health-interval -1s busybox true
create --health-interval 1us --health-cmd x busybox true
create --health-retries -1 --health-cmd x busybox true
create --health-timeout nonsense --health-cmd x busybox true
create --health-start-period 1ns --health-cmd x busybox true
create --name policy --network none --restart on-failure:4 --health-cmd 'exit 0' --health-interval 3s busybox true
inspect -f '{{json_.Config.Healthcheck}} {{json_.HostConfig.RestartPolicy}} {{json_.HostConfig.LogConfig}}' policy
update --restart nosuch policy
update --restart on-failure:-1 policy
update --restart always policy
inspect -f '{{json_.HostConfig.RestartPolicy}}' policy
"""

_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+(Z|[+-]\d\d:\d\d)")
_LOST = re.compile(r'time="[^"]*" level=error msg="error waiting for container: context canceled"\n')
_PID = re.compile(r"^ *\d+ *$", re.MULTILINE)


@pytest.fixture
def both(changing: Pair, busybox_archive: str) -> Iterator[Pair]:
    changing.mask_ids = True
    changing.daemon.docker("load", "-i", busybox_archive)
    changing.lamina("load", "-i", busybox_archive)
    try:
        yield changing
    finally:
        left = changing.daemon.docker("ps", "-aq").split()
        if left:
            changing.daemon.run("rm", "-f", *left)


def shown(answer: Answer) -> Answer:
    """Without moments and numbers of processes, and without what only a client says that loses its daemon's answer."""
    out, err = (_LOST.sub("", _MOMENT.sub("MOMENT", text)) for text in (answer.out, answer.err))
    return answer._replace(out=_PID.sub("PID", out), err=err)


def differences(both: Pair, script: str) -> list[str]:
    found = []
    for line in script.strip().splitlines():
        docker, lamina = map(shown, both.masked(*(word.replace("json_", "json ") for word in shlex.split(line))))
        if docker != lamina:
            found.append(f"{line}\n  docker: {docker}\n  lamina: {lamina}")
    return found


def test_processes_and_changes_of_state(both: Pair) -> None:
    different = [*differences(both, EXEC), *differences(both, CHANGES)]
    assert not different, "\n".join(different)


def test_logs_and_policies(both: Pair) -> None:
    different = [*differences(both, LOGS), *differences(both, POLICIES)]
    assert not different, "\n".join(different)


def test_syslog_hears_the_same(both: Pair, tmp_path: Path) -> None:
    """Formats, facility and tag, one line after the other; ``logs`` shows what was kept of them."""
    path = str(tmp_path / "log")
    settings = (
        ("--log-opt", "syslog-facility=local3", "--log-opt", "tag={{.Name}}/{{.ImageName}}"),
        ("--log-opt", "syslog-format=rfc3164"),
        ("--log-opt", "syslog-format=rfc5424", "--log-opt", "tag=x"),
        ("--log-opt", "syslog-format=rfc5424micro", "--log-opt", "tag={{.Name}}"),
    )
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(path)
        server.settimeout(60)
        for number, options in enumerate(settings):
            heard = []
            for ask in (both.daemon.run, both.lamina.run):
                command = ["run", "--name", f"n{number}", "--network", "none", "--log-driver", "syslog"]
                command += ["--log-opt", f"syslog-address=unixgram://{path}", *options, "busybox"]
                ask(*command, "sh", "-c", "echo one; echo; sleep 0.1; printf two >&2")
                heard.append([_SYSLOG.sub("", server.recv(9999).decode()) for _ in range(2)])
            assert heard[0] == heard[1], options
            both.same("logs", f"n{number}")
            both.same("rm", f"n{number}")


#: Moments, numbers of processes, and identifiers.
_SYSLOG = re.compile(
    r"(?<=>)\w{3} [ \d]\d [\d:]{8}|(?<=>1 )\S+T[\d:]{8}(\.\d{6})?\S*|(?<=\[)\d+(?=\])|(?<= )\d+(?= )|\b[0-9a-f]{12}\b"
)

# Everyday commands. Run by sh with a program named docker; what it prints must not depend on which one that is.
# $1 is an empty directory.
cd "$1" || exit 1

say() {
    printf '$ docker %s\n' "$*"
    docker "$@" 2>&1
    printf '= %s\n' "$?"
}

# Until a command says what is wanted, and then what it said.
until_said() {
    wanted=$1
    shift
    tries=0
    while [ "$tries" -lt 200 ]; do
        said=$("$@" 2>&1)
        case $said in *"$wanted"*) break ;; esac
        tries=$((tries + 1))
        sleep 0.1
    done
    printf '$ %s\n%s\n' "$*" "$said"
}

mkdir site
echo 'hello from a bind mount' >site/index.html
printf 'COLOUR=blue\nSIZE=3\n' >variables

say network create --subnet 10.97.0.0/24 --label tier=front front
say network ls --filter driver=bridge --format '{{.Name}} {{.Driver}} {{.Scope}}'
say network inspect -f '{{.Name}} {{range .IPAM.Config}}{{.Subnet}}{{end}} {{.Internal}} {{.Labels}}' front
say volume create --label keep=yes data
say volume ls
say volume inspect -f '{{.Name}} {{.Driver}} {{.Scope}} {{.Labels}}' data
say run -d --name web --network front --network-alias site -p 8080:80 -v "$1/site:/site:ro" busybox httpd -f -p 80 -h /site
until_said hello busybox wget -q -O - http://127.0.0.1:8080/
say port web
say port web 80
say run -d --name db --network front -v data:/data -e NAME=value --env-file variables busybox sleep 1000
say exec db sh -c 'echo "$NAME $COLOUR $SIZE" >/data/row; cat /data/row'
say exec db wget -q -O - http://web/
say exec db wget -q -O - http://site/
say exec -w /data -u 1000:1000 db sh -c 'pwd; id -u; id -g'
say exec db sh -c 'exit 7'
say exec db nosuchprogram
say ps --format '{{.Names}} {{.Image}} {{.Command}} {{.Ports}}'
say ps -q --filter name=nothing
say ps -a --filter status=exited
say inspect -f '{{.State.Status}} {{.State.Running}} {{.HostConfig.NetworkMode}} {{json .Config.Env}}' db
say inspect -f '{{range $name, $network := .NetworkSettings.Networks}}{{$name}} {{$network.IPAddress}} {{$network.Gateway}}{{end}}' db
say cp site/index.html db:/tmp/copied
say cp db:/data/row fetched
cat fetched
say diff db | sort # docker has no order
say logs web
say run --name talker busybox sh -c 'echo out; sleep 1; echo err >&2; exit 3'
say logs talker
say logs --tail 1 talker
say inspect -f '{{.State.ExitCode}} {{.State.OOMKilled}} {{.RestartCount}}' talker
say rename talker speaker
say start -a speaker
say wait speaker
say commit -m 'a change' -a somebody -c 'CMD ["cat", "/data/row"]' db db:changed
say run --rm -v data:/data db:changed
say history --format '{{.CreatedBy}}|{{.Comment}}' db:changed
say image inspect -f '{{json .Config.Cmd}} {{.Comment}} {{.Author}}' db:changed
say tag db:changed db:kept
say images --format '{{.Repository}}:{{.Tag}}' db
say run -d --name again --restart on-failure:2 busybox false
until_said 'exited 2' docker inspect -f '{{.State.Status}} {{.RestartCount}}' again
say run -d --name well --health-cmd 'test -e /tmp/ready' --health-interval 200ms --health-retries 3 busybox sleep 1000
until_said unhealthy docker inspect -f '{{.State.Health.Status}} {{.State.Health.FailingStreak}}' well >/dev/null
say exec well touch /tmp/ready
until_said 'healthy 0' docker inspect -f '{{.State.Health.Status}} {{.State.Health.FailingStreak}}' well
say run --rm --memory 64m --cpus 0.5 --pids-limit 50 busybox true
say run -d --name small --memory 64m --cpus 0.5 --pids-limit 50 busybox sleep 1000
say inspect -f '{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}} {{.HostConfig.PidsLimit}}' small
say update --memory 128m --memory-swap 256m small
say stats --no-stream --format '{{.Name}} {{.PIDs}}' small
say top small -o pid,comm
say pause small
say ps --filter status=paused --format '{{.Names}}'
say exec small true
say unpause small
say restart -t 0 small
say kill -s TERM web
say stop -t 0 small
say network connect front small
say network disconnect front small
say rm db
say rm -f db web small again well speaker
say ps -aq
say rmi db:changed db:kept
say volume rm data
say network rm front
say run -it busybox true
say run --rm busybox sh -c 'kill -9 $$'
say container prune -f
say volume prune -f
say network prune -f
say image prune -f

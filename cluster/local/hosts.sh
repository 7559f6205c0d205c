#!/usr/bin/env bash
# Several hosts on one Linux machine, with a Ray cluster over them. Each has its own address, processes, /dev/shm and /tmp/ray,
# so its own object store; the file system is the one of the machine, so any other folder is storage that all hosts see.
# Needs root, iproute2, util-linux, procps, and raynas in the Python that is first in PATH (or PYTHON=...).
set -euo pipefail

usage() {
    cat <<'END'
usage: hosts.sh COMMAND

  up [--hosts 3] [--cpus 1] [--memory BYTES] [--store BYTES] [--rate 100mbit]
                  start the hosts 0, 1, ...; 0 is the head. The options are those of each host: CPUs, memory and object store as
                  Ray counts them, and the speed of its link.
  run HOST CMD... run a command on a host, in the current folder
  add             start one more host, and print its number
  cut HOST        take its link down
  mend HOST       put its link up again; if the cluster has given the host up, its Ray starts anew
  kill HOST       lose it at once, as by a power failure
  start HOST      start it again
  status          which hosts there are
  down            end everything

example: hosts.sh up --hosts 3 && hosts.sh run 0 raynas run examples/digits.py --address auto; hosts.sh down
END
}

DIR=${RAYNAS_HOSTS:-/tmp/raynas-hosts} # what is known of the hosts, their logs and their /tmp/ray
PYTHON=${PYTHON:-$(command -v python3 || true)}
BRIDGE=raynas0
NET=10.77.0 # host N has the address $NET.(N+1), this machine $NET.254
PORT=6379

fail() {
    echo "hosts.sh: $*" >&2
    exit 2
}

address() { echo "$NET.$(($1 + 1))"; }

known() { [[ ${1:-} =~ ^[0-9]+$ && -d $DIR/$1 ]] || fail "there is no host '${1:-}'; there are: $(hosts)"; }

hosts() { (cd "$DIR" 2>/dev/null && find . -maxdepth 1 -name '[0-9]*' -printf '%f\n' | sort -n | xargs) || true; }

# The first process of a host, with whose end everything on it ends.
first() { cat "$DIR/$1/pid" 2>/dev/null; }

alive() { [[ -n $(first "$1") && -d /proc/$(first "$1") ]]; }

enter() {
    local host=$1
    shift
    alive "$host" || fail "host $host is not running"
    nsenter --target "$(first "$host")" --mount --uts --ipc --net --pid --wdns="$PWD" -- "$@"
}

# What every process on a host needs to find the cluster and to be let in.
environment() {
    export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=$DIR/token RAY_USAGE_STATS_ENABLED=${RAY_USAGE_STATS_ENABLED:-0}
    export RAY_ADDRESS=$NET.1:$PORT PATH=${PYTHON%/*}:$PATH
    unset RAY_AUTH_TOKEN
}

up() {
    local count=3 cpus=1 memory=2000000000 store=300000000 rate=""
    while (($#)); do
        case $1 in
            --hosts) count=${2:?} ;;
            --cpus) cpus=${2:?} ;;
            --memory) memory=${2:?} ;;
            --store) store=${2:?} ;;
            --rate) rate=${2:?} ;;
            *) fail "there is no option $1" ;;
        esac
        shift 2
    done
    [[ $(id -u) == 0 ]] || fail "network namespaces need root"
    [[ -z $(ls "/sys/class/net/$BRIDGE/brif" 2>/dev/null) ]] || fail "there are hosts already; end them with: hosts.sh down"
    [[ ! -e $DIR ]] || fail "$DIR is left of other hosts; remove it with: hosts.sh down"
    ((${#DIR} <= 40)) || fail "$DIR is too long for the sockets of Ray"
    [[ -x $PYTHON ]] || fail "there is no python3 in PATH; name one with PYTHON=..."
    mkdir -p "$DIR"
    (umask 077 && head -c 32 /dev/urandom | base64 | tr -d '/+=\n' >"$DIR/token")
    printf 'cpus=%q memory=%q store=%q rate=%q\n' "$cpus" "$memory" "$store" "$rate" >"$DIR/settings"
    ip link delete "$BRIDGE" 2>/dev/null || true # left of hosts that are no more
    ip link add "$BRIDGE" type bridge
    ip address add "$NET.254/24" dev "$BRIDGE"
    ip link set "$BRIDGE" up
    start 0
    wait_for 0 # a Ray that finds no head gives up, and begins anew
    local host
    for ((host = 1; host < count; host++)); do start "$host"; done
    for ((host = 1; host < count; host++)); do wait_for "$host"; done
}

start() {
    local host=$1
    ! alive "$host" || fail "host $host is running"
    # shellcheck source=/dev/null
    source "$DIR/settings"
    mkdir -p "$DIR/$host/ray"
    rm -f "$DIR/$host/pid"
    ip link delete "raynas-v$host" 2>/dev/null || true
    environment
    # --kill-child: with the first process everything on the host ends
    setsid unshare --mount --uts --ipc --net --pid --fork --kill-child --mount-proc \
        "$0" first_process "$host" "$cpus" "$memory" "$store" >"$DIR/$host/log" 2>&1 </dev/null &
    local outside=$! attempt
    for ((attempt = 0; attempt < 100; attempt++)); do
        pgrep --parent "$outside" >"$DIR/$host/pid" && break
        sleep 0.05
    done
    ip link add "raynas-v$host" type veth peer name eth0 netns "$(first "$host")"
    ip link set "raynas-v$host" master "$BRIDGE" up
    if [[ -n $rate ]]; then
        tc qdisc add dev "raynas-v$host" root tbf rate "$rate" burst 256kb latency 100ms
        enter "$host" tc qdisc add dev eth0 root tbf rate "$rate" burst 256kb latency 100ms
    fi
}

# Runs on the host: brings its network up, then keeps its Ray running, as a service manager does.
first_process() {
    local host=$1 cpus=$2 memory=$3 store=$4 where
    hostname "raynas-$host"
    mount --bind "$DIR/$host/ray" /tmp/ray 2>/dev/null || { mkdir -p /tmp/ray && mount --bind "$DIR/$host/ray" /tmp/ray; }
    mount -t tmpfs tmpfs /dev/shm
    until ip link show eth0 &>/dev/null; do sleep 0.05; done
    ip link set lo up
    ip address add "$(address "$host")/24" dev eth0
    ip link set eth0 up
    ip route add default via "$NET.254"
    if ((host == 0)); then
        where=(--head --port "$PORT" --dashboard-host "$NET.1" --dashboard-port 8265)
    else
        where=(--address "$NET.1:$PORT")
    fi
    unset RAY_ADDRESS
    while true; do
        "$PYTHON" -m ray.scripts.scripts start "${where[@]}" --node-ip-address "$(address "$host")" --num-cpus "$cpus" \
            --memory "$memory" --object-store-memory "$store" --disable-usage-stats --block || true
        ((host > 0)) || break # a head that is lost takes its cluster with it
        sleep 1
    done
}

wait_for() {
    local host=$1 attempt
    for ((attempt = 0; attempt < 720; attempt++)); do # three minutes, on a busy machine
        grep -qs "Ray runtime started" "$DIR/$host/log" && return
        alive "$host" || break
        sleep 0.25
    done
    tail -n 20 "$DIR/$host/log" >&2
    fail "host $host did not start"
}

down() {
    local host
    for host in $(hosts); do
        ! alive "$host" || kill -KILL "$(first "$host")"
        ip link delete "raynas-v$host" 2>/dev/null || true
    done
    ip link delete "$BRIDGE" 2>/dev/null || true
    [[ ! -f $DIR/settings ]] || rm -rf "$DIR" # and no folder that is not ours
}

main() {
    local command=${1:-}
    (($#)) && shift
    case $command in
        up) up "$@" ;;
        run)
            known "${1:-}"
            (($# > 1)) || fail "run HOST CMD..."
            environment
            enter "$@"
            ;;
        add)
            [[ -d $DIR ]] || fail "there are no hosts; start some with: hosts.sh up"
            local host
            host=$(($(hosts | tr ' ' '\n' | tail -n 1) + 1))
            start "$host"
            wait_for "$host"
            echo "$host"
            ;;
        cut | mend)
            known "${1:-}"
            ip link set "raynas-v$1" "$([[ $command == cut ]] && echo down || echo up)"
            ;;
        kill)
            known "${1:-}"
            alive "$1" || fail "host $1 is not running"
            ip link set "raynas-v$1" down # nobody hears of it
            kill -KILL "$(first "$1")"
            ;;
        start)
            known "${1:-}"
            start "$1"
            wait_for "$1"
            ;;
        status)
            local host
            for host in $(hosts); do
                echo "$host $(address "$host") $(alive "$host" && echo running || echo ended)"
            done
            ;;
        down) down ;;
        first_process) first_process "$@" ;;
        -h | --help | help) usage ;;
        *)
            usage >&2
            exit 2
            ;;
    esac
}

main "$@"

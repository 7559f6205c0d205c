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
  check           say what this machine lacks for them, if it lacks something

example: hosts.sh up --hosts 3 && hosts.sh run 0 raynas run examples/digits.py --address auto; hosts.sh down
END
}

DIR=${RAYNAS_HOSTS:-/tmp/raynas-hosts} # what is known of the hosts, their logs and their /tmp/ray
PYTHON=${PYTHON:-$(command -v python3 || true)}
LINK=raynas0 # from this machine to the switch between the hosts, which lies in a network of its own, past no filter of this one
NET=10.77.0  # host N has the address $NET.(N+1), this machine $NET.254
PORT=6379
AGENT=52365 # of the agent of each host's Ray, which it starts last

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

# In the network of a process.
within() {
    nsenter --target "$1" --net -- "${@:2}"
}

switch() { within "$(cat "$DIR/switch")" "$@"; }

# Begins a process that keeps a new network, and prints its id.
new_network() {
    local attempt
    setsid unshare --net sleep infinity &>/dev/null </dev/null &
    for ((attempt = 0; attempt < 100; attempt++)); do
        [[ $(readlink "/proc/$!/ns/net") == "$(readlink /proc/self/ns/net)" ]] || break
        sleep 0.05
    done
    echo $!
}

# What every process on a host needs to find the cluster and to be let in.
environment() {
    export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=$DIR/token RAY_USAGE_STATS_ENABLED=${RAY_USAGE_STATS_ENABLED:-0}
    export RAY_ADDRESS=$NET.1:$PORT PATH=${PYTHON%/*}:$PATH
    unset RAY_AUTH_TOKEN
}

up() {
    local count=3 cpus=1 memory=2000000000 store=300000000 rate="" host
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
    check
    [[ ! -e /sys/class/net/$LINK ]] || fail "there are hosts already; end them with: hosts.sh down"
    [[ ! -e $DIR ]] || fail "$DIR is left of other hosts; remove it with: hosts.sh down"
    ((${#DIR} <= 40)) || fail "$DIR is too long for the sockets of Ray"
    mkdir -p "$DIR"
    (umask 077 && head -c 32 /dev/urandom | base64 | tr -d '/+=\n' >"$DIR/token")
    printf '%s\n' "127.0.0.1 localhost" "::1 localhost" >"$DIR/names"
    for ((host = 0; host < 253; host++)); do echo "$(address "$host") raynas-$host" >>"$DIR/names"; done
    echo "nameserver 127.0.0.1" >"$DIR/nameserver" # which refuses at once; the machine's own is not reached, and waited for
    printf 'cpus=%q memory=%q store=%q rate=%q\n' "$cpus" "$memory" "$store" "$rate" >"$DIR/settings"
    new_network >"$DIR/switch"
    switch ip link add bridge0 type bridge
    switch ip link set bridge0 up
    ip link add "$LINK" type veth peer name machine netns "$(cat "$DIR/switch")"
    switch ip link set machine master bridge0 up
    ip address add "$NET.254/24" dev "$LINK"
    ip link set "$LINK" up
    ready 0 # a Ray that finds no head gives up, and begins anew
    for ((host = 1; host < count; host++)); do start "$host"; done
    for ((host = 1; host < count; host++)); do ready "$host"; done
}

start() {
    local host=$1
    ! alive "$host" || fail "host $host is running"
    # shellcheck source=/dev/null
    source "$DIR/settings"
    mkdir -p "$DIR/$host/ray"
    rm -f "$DIR/$host/pid"
    switch ip link delete "host$host" 2>/dev/null || true
    environment
    # --kill-child: with the first process everything on the host ends
    setsid unshare --mount --uts --ipc --net --pid --fork --kill-child --mount-proc \
        "$0" first_process "$host" "$cpus" "$memory" "$store" >"$DIR/$host/log" 2>&1 </dev/null &
    local outside=$! attempt
    for ((attempt = 0; attempt < 100; attempt++)); do
        pgrep --parent "$outside" >"$DIR/$host/pid" && break
        sleep 0.05
    done
    switch ip link add "host$host" type veth peer name eth0 netns "$(first "$host")"
    switch ip link set "host$host" master bridge0 up
    if [[ -n $rate ]]; then
        switch tc qdisc add dev "host$host" root tbf rate "$rate" burst 256kb latency 100ms
        enter "$host" tc qdisc add dev eth0 root tbf rate "$rate" burst 256kb latency 100ms
    fi
}

# Runs on the host: brings its network up, then keeps its Ray running, as a service manager does.
first_process() {
    local host=$1 cpus=$2 memory=$3 store=$4 where
    hostname "raynas-$host"
    mount --bind "$DIR/names" /etc/hosts
    mount --bind "$DIR/nameserver" /etc/resolv.conf
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

# Returns when the host's Ray is there to stay; starts the host if it is not running. On a busy machine the parts of a Ray may
# give up on each other soon after it "started" (the raylet on the agent, after 15 s), and a head ends with its Ray.
ready() {
    local host=$1 attempt
    for ((attempt = 0; attempt < 3; attempt++)); do
        alive "$host" || start "$host"
        ! wait_for "$host" || return 0
        ! alive "$host" || break
    done
    tail -n 20 "$DIR/0/log" >&2 # without a head no other host starts
    ((host == 0)) || tail -n 20 "$DIR/$host/log" >&2
    fail "host $host did not start; the head $(alive 0 && echo runs || echo "has ended")"
}

# Fails if the host ends, or takes more than three minutes.
wait_for() {
    local host=$1 attempt
    for ((attempt = 0; attempt < 720; attempt++)); do
        alive "$host" || return 1
        if grep -qs "Ray runtime started" "$DIR/$host/log" && reaches "$(first "$host")" "$(address "$host")" "$AGENT"; then
            return 0
        fi
        sleep 0.25
    done
    return 1
}

# Whether a connection is made, from the network of a process, to a port of an address.
reaches() {
    within "$1" timeout 1 bash -c "exec 3<>/dev/tcp/$2/$3" 2>/dev/null
}

# Fails, saying why, where there cannot be several hosts.
check() {
    local program said
    [[ $(id -u) == 0 ]] || fail "network namespaces need root"
    for program in ip nsenter pgrep setsid unshare; do
        [[ -n $(command -v "$program") ]] || fail "there is no program $program"
    done
    [[ -x $PYTHON ]] || fail "there is no python3 in PATH; name one with PYTHON=..."
    said=$(unshare --mount --uts --ipc --net --pid --fork --kill-child --mount-proc "$0" probe 2>&1) ||
        fail "this machine cannot have hosts that reach each other: ${said:-no connection from one to the other}"
}

# Two networks on a bridge, as the hosts have them, and a connection from one to the other.
probe() {
    local number at attempt
    ip link add bridge0 type bridge
    ip link set bridge0 up
    for number in 1 2; do
        at=$(new_network)
        ip link add "host$number" type veth peer name eth0 netns "$at"
        ip link set "host$number" master bridge0 up
        within "$at" ip address add "$NET.$number/24" dev eth0
        within "$at" ip link set eth0 up
        ((number > 1)) || within "$at" "$PYTHON" -m http.server --bind "$NET.1" "$PORT" &>/dev/null &
    done
    for ((attempt = 0; attempt < 40; attempt++)); do
        ! reaches "$at" "$NET.1" "$PORT" || return 0
        sleep 0.25
    done
    return 1
}

down() {
    local host
    for host in $(hosts); do
        ! alive "$host" || kill -KILL "$(first "$host")"
    done
    [[ ! -s $DIR/switch ]] || kill -KILL "$(cat "$DIR/switch")" 2>/dev/null || true
    ip link delete "$LINK" 2>/dev/null || true # goes with the switch, but not at once
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
            ready "$host"
            echo "$host"
            ;;
        cut | mend)
            known "${1:-}"
            switch ip link set "host$1" "$([[ $command == cut ]] && echo down || echo up)"
            ;;
        kill)
            known "${1:-}"
            alive "$1" || fail "host $1 is not running"
            switch ip link set "host$1" down # nobody hears of it
            kill -KILL "$(first "$1")"
            ;;
        start)
            known "${1:-}"
            ! alive "$1" || fail "host $1 is running"
            ready "$1"
            ;;
        status)
            local host
            for host in $(hosts); do
                echo "$host $(address "$host") $(alive "$host" && echo running || echo ended)"
            done
            ;;
        down) down ;;
        check) check ;;
        probe) probe ;;
        first_process) first_process "$@" ;;
        -h | --help | help) usage ;;
        *)
            usage >&2
            exit 2
            ;;
    esac
}

main "$@"

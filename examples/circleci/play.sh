#!/usr/bin/env bash
# Plays the steps of .circleci/config.yml: three jobs, each on a machine of its own with a fresh
# engine. Before the second job a source file changes, before the third a base image.
#
#   cargo xtask engine                      # Docker, a registry, busybox; once
#   cargo build --release
#   sudo examples/circleci/play.sh target/release/larder
#
# Ends with 1 if a job hits other steps than it should.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
larder=$(realpath "${1:-$here/../../target/release/larder}")
work=$(mktemp -d /tmp/larder-play.XXXXXX)
# Short: a socket's path has at most 107 bytes.
runtime=$(mktemp -d /run/larder-play.XXXX)
bridge=lplay$$
engine_pid=
registry_pid=

fail() { echo "play: $*" >&2; exit 1; }

say() { printf '\n== %s\n' "$*"; }

# --- machines -----------------------------------------------------------------------------------

# A machine with a fresh engine; its root is $work/$1.
start_engine() {
    mkdir -p "$work/$1/home"
    export HOME=$work/$1/home DOCKER_HOST=unix://$runtime/docker.sock
    echo '{"storage-driver":"overlay2","features":{"containerd-snapshotter":false}}' > "$work/$1/daemon.json"
    # Its own bridge, and no firewall rules: the steps need no network.
    setpriv --pdeathsig TERM dockerd --data-root "$work/$1/docker" --exec-root "$runtime/exec" \
        --pidfile "$runtime/pid" --host "$DOCKER_HOST" --config-file "$work/$1/daemon.json" \
        --bridge "$bridge" --iptables=false --ip-masq=false > "$work/$1/dockerd.log" 2>&1 &
    engine_pid=$!
    until docker version > "$work/$1/version" 2>&1; do
        kill -0 "$engine_pid" 2> "$work/$1/gone" || fail "dockerd ended: $(tail -5 "$work/$1/dockerd.log")"
        sleep 0.1
    done
}

stop_engine() {
    [ -n "$engine_pid" ] || return 0
    kill "$engine_pid"
    wait "$engine_pid" || true
    engine_pid=
    # What an engine leaves mounted, last mounted first.
    awk -v work="$work/" -v runtime="$runtime/" \
        'index($5, work) == 1 || index($5, runtime) == 1 { print $5 }' /proc/self/mountinfo \
        | tac | xargs --no-run-if-empty umount --lazy
}

start_registry() {
    cat > "$work/registry.yml" <<YAML
version: 0.1
storage:
  filesystem:
    rootdirectory: $work/registry
http:
  addr: 127.0.0.1:0
YAML
    docker-registry serve "$work/registry.yml" > "$work/registry.log" 2>&1 &
    registry_pid=$!
    until grep -q 'listening on' "$work/registry.log"; do
        kill -0 "$registry_pid" || fail "the registry ended: $(tail -5 "$work/registry.log")"
        sleep 0.1
    done
    REGISTRY=$(sed -n 's/.*listening on \(127.0.0.1:[0-9]*\).*/\1/p' "$work/registry.log")
    export REGISTRY
}

# Somebody publishes a base image: busybox, and a file that says which release it is.
publish() { # name release
    local root=$work/base
    rm -rf "$root"
    mkdir -p "$root/bin" "$root/etc" "$root/tmp"
    cp "$(command -v busybox)" "$root/bin/busybox"
    for tool in sh cat echo mkdir; do ln "$root/bin/busybox" "$root/bin/$tool"; done
    echo "$1 $2" > "$root/etc/release"
    tar -C "$root" -c . | docker import - "$REGISTRY/$1:1" > "$work/imported"
    docker push --quiet "$REGISTRY/$1:1"
}

clean_up() {
    local status=$?
    stop_engine
    [ -z "$registry_pid" ] || kill "$registry_pid"
    ip link delete "$bridge" 2> /dev/null || true
    if [ "$status" = 0 ]; then rm -rf "$work"; else echo "play: logs are in $work" >&2; fi
    rm -rf "$runtime"
}
trap clean_up EXIT

# --- the CI system ------------------------------------------------------------------------------

# Where jobs find what CircleCI tells them.
ci_environment() {
    export CIRCLECI=true CIRCLE_PROJECT_USERNAME=shop CIRCLE_PROJECT_REPONAME=shop CIRCLE_JOB=image
    export CIRCLE_BRANCH=main CIRCLE_SHA1=revision-$1 LARDER_STORE=$work/larder/store
}

# The cache with this key, else the newest: `restore_cache` with two keys.
restore_cache() {
    rm -rf "$work/larder"
    local newest
    newest=$(find "$work/cache" -name '*.tar' -printf '%T@ %p\n' | sort -n | tail -1 | cut -d ' ' -f 2)
    if [ -f "$work/cache/$1.tar" ]; then
        echo "restore_cache: $1"
        newest=$work/cache/$1.tar
    elif [ -n "$newest" ]; then
        echo "restore_cache: not $1, but $(basename "$newest" .tar)"
    else
        echo "restore_cache: nothing yet"
        mkdir -p "$work/larder"
        return
    fi
    tar -C "$work" -xf "$newest"
}

save_cache() {
    if [ -f "$work/cache/$1.tar" ]; then
        echo "save_cache: $1 is there already"
    else
        tar -C "$work" -cf "$work/cache/$1.tar" larder
        echo "save_cache: $1, $(du -h "$work/cache/$1.tar" | cut -f 1)"
    fi
}

# The steps of .circleci/config.yml, in order.
job() { # number
    local image=$REGISTRY/app:$1 log=$work/job-$1.log key
    ci_environment "$1"
    cd "$work/checkout"
    "$larder" key --build-arg REGISTRY --extra dependencies.lock --write larder.key > /dev/null
    key=larder-v1-$(sha256sum larder.key | cut -c 1-12)
    restore_cache "$key"
    echo "+ larder build --no-save --build-arg REGISTRY --tag $image ."
    "$larder" build --no-save --build-arg REGISTRY --tag "$image" --progress plain . > "$log" 2>&1 \
        || fail "the build failed: $(tail -20 "$log")"
    # Larder's words, and of the builder's only which steps there are and which were cached.
    grep -E '^larder:|^#[0-9]+ (\[[^]]*[0-9]/[0-9]\]|CACHED)' "$log" | sed "s/@sha256:[0-9a-f]*//"
    docker push --quiet "$image"
    if ! cmp --silent larder.key "$work/larder/key"; then
        echo "+ larder save"
        "$larder" save
        cp larder.key "$work/larder/key"
    fi
    save_cache "$key"
    docker run --rm --network none "$image"
}

# Which steps of a job came from the cache, by what the Dockerfile calls them.
cached() { # number
    awk '/^#[0-9]+ \[/ { step[$1] = $0 } $2 == "CACHED" { print step[$1] }' "$work/job-$1.log" \
        | sed -E 's/^#[0-9]+ \[[^]]*\] //' | sort
}

expect_cached() { # number lines
    local found
    found=$(cached "$1" | cut -d ' ' -f 1-2)
    [ "$found" = "$2" ] || fail "job $1 took from the cache:"$'\n'"$found"$'\n'"instead of:"$'\n'"$2"
}

# --- the play -----------------------------------------------------------------------------------

[ "$(id -u)" = 0 ] || fail "engines need root; run it with sudo"
[ -x "$larder" ] || fail "no larder at $larder; run cargo build --release, or name it: play.sh PROGRAM"
for program in dockerd docker docker-registry busybox setpriv; do
    command -v "$program" > /dev/null || fail "no $program; run cargo xtask engine"
done
for socket in /run/docker.sock /run/containerd/containerd.sock; do
    [ ! -S "$socket" ] || fail "an engine of this machine serves $socket; stop it first"
done
ip link add "$bridge" type bridge
ip addr add 10.214.7.1/24 dev "$bridge"
ip link set "$bridge" up
mkdir -p "$work/cache" "$work/checkout"
cp "$here/Dockerfile" "$here/dependencies.lock" "$here/app.sh" "$work/checkout"

start_registry
say "somebody publishes two base images"
start_engine publisher
publish toolchain 1
publish runtime 1
stop_engine

say "job 1, machine 1: the first"
start_engine machine-1
job 1
"$larder" doctor
stop_engine

say "job 2, machine 2: a source file changed"
echo 'echo "revision 2"' >> "$work/checkout/app.sh"
start_engine machine-2
job 2
stop_engine
expect_cached 2 "COPY --from=dependencies
COPY dependencies.lock
RUN echo
RUN while
WORKDIR /app
WORKDIR /app"

say "somebody publishes the base image runtime:1 again, with a change"
start_engine publisher
publish runtime 2
stop_engine

say "job 3, machine 3: a base image moved"
start_engine machine-3
job 3
stop_engine
expect_cached 3 "COPY dependencies.lock
RUN while
WORKDIR /app"

say "done: each job hit what it should"

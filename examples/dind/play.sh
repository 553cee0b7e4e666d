#!/bin/sh
# Plays two jobs with the image as their engine: a privileged container each, reached on TLS, in an engine of Larder's that
# stands for the CI system's. The second one finds the first one's steps. Needs root, larder, docker and docker-buildx.
#
#   sh play.sh BASE.tar     a root file system of Debian with package sources, such as `cargo xtask engine` makes
set -eu

base=${1:?play.sh: name a root file system of Debian}
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
export LARDER_STATE="$work/state" LARDER_STORE="${LARDER_STORE:-$work/outer}"
export LARDER_PROJECT=dind LARDER_JOB=play LARDER_SCOPE=branch/main
trap 'docker rm -f job1 job2 >/dev/null 2>&1 || true; larder down; rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
eval "$(larder up --no-context --engine private)"

docker import "$base" larder-dind-base >/dev/null
cp "$(command -v larder)" "$here/Dockerfile" "$here/entrypoint.sh" "$work"
mkdir "$work/image" "$work/store"
mv "$work/larder" "$work/Dockerfile" "$work/entrypoint.sh" "$work/image"
docker build --network host --build-arg BASE=larder-dind-base -t larder-dind "$work/image"

# What a job builds.
mkdir "$work/context"
cp "$(command -v busybox)" "$work/context"
cat >"$work/context/Dockerfile" <<'DOCKERFILE'
FROM scratch
COPY busybox /bin/busybox
RUN ["/bin/busybox", "sh", "-c", "/bin/busybox --install -s /bin"]
RUN ["/bin/sh", "-c", "date > /date"]
DOCKERFILE

for job in 1 2; do
    certificates="$work/certificates$job"
    docker run --detach --privileged --name "job$job" --publish 127.0.0.1:2376:2376 \
        --volume "$work/store:/store" --volume "$certificates:/certs/client" \
        --env LARDER_STORE=/store --env LARDER_PROJECT=play --env LARDER_JOB=image --env LARDER_SCOPE=branch/main \
        larder-dind >/dev/null
    inner() { DOCKER_HOST=tcp://localhost:2376 DOCKER_TLS_VERIFY=1 DOCKER_CERT_PATH="$certificates" docker "$@"; }
    until inner version >/dev/null 2>&1; do
        [ "$(docker inspect --format '{{.State.Running}}' "job$job")" = true ] || { docker logs "job$job"; exit 1; }
        sleep 1
    done
    inner build --progress plain -t image "$work/context" 2>&1 | tee "$work/said$job"
    inner run --rm image /bin/cat /date
    touch "$certificates/larder-down"
    until [ -e "$certificates/larder-saved" ]; do sleep 0.2; done
    docker logs "job$job"
    docker rm -f "job$job" >/dev/null
done
found=$(grep -c ' CACHED$' "$work/said2")
echo "the second job found $found of 3 steps"
[ "$found" = 3 ]

#!/bin/sh
# The engine of docker:dind, kept by Larder: `larder up --foreground`, reached as that one is.
#
#   DOCKER_TLS_CERTDIR   where certificates are; empty for an open port 2375 [default: /certs, as docker:dind]
#   DOCKER_GROUP_GID     the group that may use the socket, as the runner controller sets it
#   LARDER_DIND_GRACE    how long ending may take; the platform must wait longer [default: 25s]
#   LARDER_…, AWS_…      as always: LARDER_STORE is needed
#
# Arguments are options of `larder up`. Those of dockerd that a manifest of docker:dind gives are left out.
#
# Where the platform kills services instead of ending them, the job ends this one: it makes the file `larder-down` in
# the directory of the clients' certificates, and waits for `larder-saved` there.
set -eu

tls=${DOCKER_TLS_CERTDIR-/certs}
grace=${LARDER_DIND_GRACE:-25s}

if [ "${1:-}" = dockerd ]; then
    set --
fi

# A key and a certificate of the authority, in $tls/$1, for the uses $2 and the names $3.
certificate() {
    mkdir -p "$tls/$1"
    openssl req -newkey rsa:2048 -nodes -subj "/CN=docker:dind $1" \
        -keyout "$tls/$1/key.pem" -out "$tls/$1/csr.pem" 2>/dev/null
    {
        echo "extendedKeyUsage = $2"
        [ -z "$3" ] || echo "subjectAltName = $3"
    } >"$tls/$1/extensions"
    openssl x509 -req -in "$tls/$1/csr.pem" -days 825 -extfile "$tls/$1/extensions" \
        -CA "$tls/ca/cert.pem" -CAkey "$tls/ca/key.pem" -CAcreateserial -out "$tls/$1/cert.pem" 2>/dev/null
    rm "$tls/$1/csr.pem" "$tls/$1/extensions"
    cp "$tls/ca/cert.pem" "$tls/$1/ca.pem"
    # Jobs read theirs as any user.
    [ "$1" != client ] || chmod 0644 "$tls/client/key.pem"
}

# As what the engine may be called: the service, this container, and its addresses.
names() {
    printf 'DNS:docker,DNS:localhost,DNS:%s,IP:127.0.0.1' "$(hostname)"
    ip -oneline address | awk '{ sub(/\/.*/, "", $4); printf ",IP:%s", $4 }'
    [ -z "${DOCKER_TLS_SAN:-}" ] || printf ',%s' "$DOCKER_TLS_SAN"
}

if [ -n "$tls" ]; then
    mkdir -p "$tls/ca"
    [ -s "$tls/ca/key.pem" ] || openssl req -x509 -newkey rsa:2048 -nodes -days 825 -subj '/CN=docker:dind CA' \
        -addext keyUsage=critical,digitalSignature,keyCertSign -keyout "$tls/ca/key.pem" -out "$tls/ca/cert.pem" 2>/dev/null
    certificate server serverAuth "$(names)"
    certificate client clientAuth ''
fi

if [ -n "${DOCKER_GROUP_GID:-}" ]; then
    groupmod --non-unique --gid "$DOCKER_GROUP_GID" docker
fi

rm -f "$tls/client/larder-down" "$tls/client/larder-saved"
larder up --foreground --grace "$grace" --no-context --engine takeover "$@" &
larder=$!
trap 'kill -TERM "$larder" 2>/dev/null || true' TERM INT

until [ -S /var/run/docker.sock ] || ! kill -0 "$larder" 2>/dev/null; do
    sleep 0.1
done
# -t: how long an answer may take after the question has ended, as that of `docker build` does.
if [ -n "$tls" ]; then
    socat -t 86400 "OPENSSL-LISTEN:2376,fork,reuseaddr,verify=1,cafile=$tls/server/ca.pem,cert=$tls/server/cert.pem,key=$tls/server/key.pem" \
        UNIX-CONNECT:/var/run/docker.sock &
else
    socat -t 86400 TCP-LISTEN:2375,fork,reuseaddr UNIX-CONNECT:/var/run/docker.sock &
fi

while kill -0 "$larder" 2>/dev/null; do
    if [ -n "$tls" ] && [ -e "$tls/client/larder-down" ]; then
        rm "$tls/client/larder-down"
        kill -TERM "$larder"
    fi
    # A signal ends the wait.
    sleep 1 &
    wait $! || true
done
code=0
wait "$larder" || code=$?
[ -z "$tls" ] || echo "$code" >"$tls/client/larder-saved"
exit "$code"

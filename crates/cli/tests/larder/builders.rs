//! buildx's builders in containers, made and removed as `docker/setup-buildx-action` does it.

use std::path::Path;

use crate::kit::{SMALL, Store, context, search};
use crate::machine::Machine;

/// Makes the root of a builder's image in `$1`: programs of this machine with their libraries.
///
/// No image of `BuildKit` can be had without a registry. But dockerd has `BuildKit` in it, which it serves at
/// `/grpc` (moby `api/server/router/grpc`). So this `buildkitd` is a dockerd whose directory for `BuildKit` is
/// the state's root, and this `buildctl` joins its input and output to that API.
const IMAGE: &str = r#"set -e
mkdir -p "$1/bin" "$1/tmp" "$1/run" "$1/etc/docker" "$1/var/lib/docker"
cat > "$1/bin/buildkitd" <<'END'
#!/bin/sh
root=/var/lib/buildkit
content=/var/lib/docker/containerd/daemon/io.containerd.content.v1.content
mkdir -p $root/runc-engine/content /var/lib/docker/buildkit /var/lib/docker/containerd
mount --bind $root /var/lib/docker/buildkit
mount --bind $root/runc-engine /var/lib/docker/containerd
mkdir -p $content
mount --bind $root/runc-engine/content $content
exec dockerd --host unix:///run/docker.sock --data-root /var/lib/docker --exec-root /run/docker \
    --userland-proxy=false --iptables=false --ip6tables=false --bip 10.97.0.1/24
END
cat > "$1/bin/buildctl" <<'END'
#!/bin/perl
use strict; use IO::Socket::UNIX; use IO::Select;
my $engine = IO::Socket::UNIX->new(Peer => "/run/docker.sock") or exit 1;
syswrite $engine, "POST /grpc HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";
my ($head, $byte) = ("");
$head .= $byte while $head !~ /\r\n\r\n$/ and sysread $engine, $byte, 1;
exit 1 if $head !~ m{^HTTP/1.1 101};
exit 0 if $ARGV[0] ne "dial-stdio";
my $both = IO::Select->new(\*STDIN, $engine);
while (1) {
    for my $from ($both->can_read) {
        my $to = $from == $engine ? \*STDOUT : $engine;
        exit 0 if !sysread $from, my $some, 65536;
        while (length $some) { my $n = syswrite $to, $some; exit 0 if !$n; substr $some, 0, $n, ""; }
    }
}
END
chmod +x "$1/bin/buildkitd" "$1/bin/buildctl"
for program in sh mount mkdir perl dockerd containerd runc; do
    file=$(command -v $program)
    cp -L "$file" "$1/bin/"
    { ldd "$file" || true; } | grep -o '/[^ ]*' | xargs -r -I{} cp -L --parents {} "$1/"
done
modules=$(perl -e 'print grep { /perl-base$/ } @INC')
mkdir -p "$1$modules"
cp -r "$modules/." "$1$modules"
echo '{"features":{"containerd-snapshotter":true}}' > "$1/etc/docker/daemon.json"
# The name of its worker: cached results of a worker of another name never hit.
echo 2ecd1b71-5ba4-4ba9-ad84-5ae1c7b1d0aa > "$1/var/lib/docker/engine-id"
echo 'root:x:0:0::/:/bin/sh' > "$1/etc/passwd"
"#;

/// What a workflow with that action does, up to the build.
fn build(builder: &str, context: &Path) -> String {
    format!(
        "set -e
        name={builder}
        docker buildx create --name $name --driver docker-container --driver-opt image={NAME} --use
        docker buildx inspect --bootstrap
        docker buildx build --progress plain --load --build-arg NOWHERE=nowhere-arg-Vc8 -t app {}
        docker run --rm app /bin/cat /one\n",
        context.display()
    )
}

/// buildx pulls the image first, and goes on without if nobody answers, which here is told at once.
const NAME: &str = "127.0.0.1:1/builder";

/// The action's names.
const RANDOM: &str = "builder-$(cat /proc/sys/kernel/random/uuid)";

fn cached(said: &str) -> usize {
    said.lines()
        .filter(|line| line.ends_with(" CACHED"))
        .count()
}

#[test]
fn a_builder_with_a_random_name_finds_the_cache_of_the_last_one() {
    let (store, folder) = (Store::new(), tempfile::tempdir().expect("a folder"));
    let (context, root) = (context(folder.path(), SMALL), folder.path().join("root"));
    let options = ["--size", "1GiB"];
    let job = |machine: &Machine, line: String| machine.job(&store.url(), &options, &line);
    let made = std::process::Command::new("bash")
        .args(["-c", IMAGE, "image"])
        .arg(&root)
        .status();
    assert!(made.expect("bash starts").success());
    let import = format!(
        "tar -C {} -c . | docker import -c 'ENTRYPOINT [\"/bin/buildkitd\"]' -c 'ENV PATH=/bin' - {NAME}\n",
        root.display()
    );

    // One is removed by the job's own clean-up, one is left to Larder.
    let machine = Machine::new();
    let removed = build(RANDOM, &context) + "docker buildx rm $name\n";
    let line = import + &removed + &build("ours", &context);
    let first = job(&machine, line).saved();
    assert_eq!(cached(&first.said), 0, "{}", first.said);
    assert_eq!(first.report["warnings"], serde_json::json!([]));
    machine.assert_untouched();

    // Both find their caches; one is killed.
    let killed = build(RANDOM, &context) + "docker rm -f buildx_buildkit_${name}0\n";
    // The argument is in build records alone.
    let search = search("-o dockerd", "nowhere-arg-Vc8");
    let line = search + &killed + &build("ours", &context);
    let second = job(&Machine::new(), line).saved().restored(&first);
    assert_eq!(cached(&second.said), 6, "{}", second.said);
    assert!(second.said.contains("found: 0\n"), "{}", second.said);
    let warnings = second.report["warnings"].as_array().expect("a list");
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(
        warnings[0].to_string().contains("exit code 137"),
        "{warnings:?}"
    );
}

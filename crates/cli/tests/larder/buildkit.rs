//! A `buildkitd` of ours, beside the engine and without one.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

use crate::builds::serve_registry;
use crate::kit::{Store, context, search, text};
use crate::machine::{ADDRESS, Job, Machine};

/// No package of Debian has buildkitd. But dockerd has `BuildKit` in it, which it serves at `/grpc` (moby
/// `api/server/router/grpc`). So this one is a dockerd whose directory for `BuildKit` is the root that it is told of, and
/// which joins its socket to that API. It takes what it is told from our options and from our file, as
/// `cmd/buildkitd/main.go` does.
const BUILDKITD: &str = r#"#!/usr/bin/python3
import argparse, grp, json, os, signal, socket, subprocess, sys, threading, time, tomllib
if sys.argv[1:] == ["--version"]:
    sys.exit(print("buildkitd github.com/moby/buildkit v0.13.2 beef"))
if "held" not in os.environ:
    os.environ["held"] = "1"
    os.execvp("unshare", ["unshare", "--mount", "--propagation", "private", *sys.argv])
signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
read = argparse.ArgumentParser()
for name in ["config", "root", "addr", "group"]:
    read.add_argument("--" + name)
told = read.parse_args()
with open(told.config, "rb") as file:
    toml = tomllib.load(file)
oci = toml["worker"]["oci"]
assert toml["root"] == told.root and toml["grpc"]["address"] == [told.addr], toml
assert oci["snapshotter"] == "overlayfs" and not toml["worker"]["containerd"]["enabled"], toml
address = told.addr.removeprefix("unix://")
work = os.path.dirname(address) + "/stand-in"
data, root = work + "/data", told.root
content = root + "/runc-engine/io.containerd.content.v1.content"
for path in [data, root + "/runc-engine/content", content]:
    os.makedirs(path, exist_ok=True)
# dockerd mounts its root over itself, and what is mounted below it is gone.
os.symlink(root, data + "/buildkit")
subprocess.run(["mount", "--bind", root + "/runc-engine/content", content], check=True)
# The name of its worker: cached results of a worker of another name never hit.
open(data + "/engine-id", "w").write("2ecd1b71-5ba4-4ba9-ad84-5ae1c7b1d0aa")
insecure = [host for host, one in toml.get("registry", {}).items() if one.get("insecure")]
keep = "%dB" % oci["gcpolicy"][1]["keepBytes"]
settings = {"features": {"containerd-snapshotter": True}, "insecure-registries": insecure,
    "builder": {"gc": {"enabled": True, "defaultKeepStorage": keep}}}
json.dump(settings, open(work + "/daemon.json", "w"))
bridge = "bk%d" % (os.getpid() % 100000)
for line in ["link add %s type bridge", "addr add 10.97.0.1/24 dev %s", "link set %s up"]:
    subprocess.run(["ip", *(line % bridge).split()], check=True)
open(work + "/empty.toml", "w").close()
daemons = []
try:
    daemons.append(subprocess.Popen(["containerd", "--config", work + "/empty.toml", "--root", root + "/runc-engine",
        "--state", work + "/containerd", "--address", work + "/containerd.sock"]))
    while not os.path.exists(work + "/containerd.sock"):
        time.sleep(0.01)
    daemons.append(subprocess.Popen(["dockerd", "--host", "unix://" + work + "/docker.sock", "--data-root", data,
        "--exec-root", work + "/exec", "--pidfile", work + "/pid", "--containerd", work + "/containerd.sock",
        "--config-file", work + "/daemon.json", "--bridge", bridge, "--userland-proxy=false", "--iptables=false",
        "--ip6tables=false", "--ip-forward=false"]))
    def engine():
        joined = socket.socket(socket.AF_UNIX)
        joined.connect(work + "/docker.sock")
        joined.sendall(b"POST /grpc HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            byte = joined.recv(1)
            assert byte, head
            head += byte
        assert head.startswith(b"HTTP/1.1 101"), head
        return joined
    def pass_on(one, other):
        try:
            while some := one.recv(65536):
                other.sendall(some)
            other.shutdown(socket.SHUT_WR)
        except OSError:
            pass
    while True:
        try:
            engine().close()
            break
        except OSError:
            assert all(daemon.poll() is None for daemon in daemons)
            time.sleep(0.01)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address + ".new")
    number = int(told.group) if told.group.isdigit() else grp.getgrnam(told.group).gr_gid
    os.chown(address + ".new", 0, number)
    os.chmod(address + ".new", 0o660)
    listener.listen()
    os.rename(address + ".new", address)
    while True:
        client, _ = listener.accept()
        both = client, engine()
        for pair in [both, both[::-1]]:
            threading.Thread(target=pass_on, args=pair, daemon=True).start()
finally:
    for daemon in reversed(daemons):
        daemon.terminate()
        daemon.wait()
    subprocess.run(["ip", "link", "del", bridge])
"#;

/// An image with a step that runs, a cache mount, and an argument that is in build records alone.
const DOCKERFILE: &str = "FROM scratch AS tools
COPY busybox /bin/busybox
RUN [\"/bin/busybox\", \"sh\", \"-c\", \"/bin/busybox --install -s /bin\"]
FROM tools AS app
ARG CHANGED
RUN --mount=type=cache,target=/cache echo run $CHANGED >> /cache/runs; cat /cache/runs; cp /cache/runs /runs
FROM scratch AS plain
COPY busybox /bin/busybox
";

/// What builds go by, and who builds.
struct Buildkitd {
    folder: tempfile::TempDir,
    context: PathBuf,
}

impl Buildkitd {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("set");
        let program = folder.path().join("buildkitd");
        fs::write(&program, BUILDKITD).expect("written");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("set");
        let context = context(folder.path(), DOCKERFILE);
        Self { folder, context }
    }

    /// Has a command find the program.
    fn found_by<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        let path = std::env::var_os("PATH").expect("a path");
        let folders = [self.folder.path().to_owned()].into_iter();
        let folders = folders.chain(std::env::split_paths(&path));
        command.env("PATH", std::env::join_paths(folders).expect("a path"))
    }

    /// A line that builds a stage, by buildx's selected builder. The stand-in takes a step's interface away some time
    /// after that, and no more once it is ended.
    fn build(&self, options: &str) -> String {
        let gone = "timeout 60 sh -c 'while grep -q veth /proc/net/dev; do sleep 0.1; done'";
        format!(
            "docker buildx build --progress plain {options} {} && {gone}",
            self.context.display()
        )
    }

    /// `larder run` with a builder alone.
    fn run(&self, machine: &Machine, store: &Store, line: &str) -> Job {
        let report = machine.path("report.json");
        let mut run = machine.larder_on("run", &store.url(), "buildkit");
        self.found_by(&mut run).args(["--size", "1GiB", "--json"]);
        run.arg(&report).args(["--", "sh", "-ec", line]);
        Job::of(run.output().expect("larder starts"), &report)
    }
}

#[test]
fn a_builder_without_an_engine_is_remembered() {
    let (store, buildkitd) = (Store::new(), Buildkitd::new());
    let first = Machine::new();
    let app =
        buildkitd.build("--target app --build-arg NOWHERE=nowhere-arg-Vc9 --build-arg CHANGED=1");
    let line = format!("env | grep -c ^DOCKER_HOST && exit 1; docker buildx ls; {app}");
    let job = buildkitd.run(&first, &store, &line).saved();
    assert!(job.said.contains("larder*"), "{}", job.said);
    assert_eq!(job.cached(), 0, "{}", job.said);
    assert!(job.report["engine"].is_null() && job.report["builder"]["version"] == "0.13.2");
    let steps = job.report["builds"][0]["steps"].as_u64();
    assert!(steps >= Some(3), "{}", job.report["builds"]);
    assert_eq!(
        job.report["warnings"],
        serde_json::json!([]),
        "{}",
        job.said
    );
    first.assert_untouched();

    // Cached on another machine; another argument runs the last step, which finds its cache mount.
    let second = Machine::new();
    serve_registry(&second, &second.path("registry"));
    let image = format!("{ADDRESS}:5000/app:latest");
    let platforms = buildkitd.build(&format!(
        "--target plain --platform linux/amd64,linux/arm64 --attest type=provenance,mode=max --push -t {image} \
         --cache-to type=registry,ref={ADDRESS}:5000/cache,mode=max"
    ));
    let changed = app.replace("CHANGED=1", "CHANGED=2");
    let search = search("-of 'buildkitd --config'", "nowhere-arg-Vc9");
    let line = format!("exec 2>&1; {search} {app}; echo unchanged; {changed}; {platforms}");
    let again = buildkitd.run(&second, &store, &line).saved().restored(&job);
    let (unchanged, then) = again.said.split_once("unchanged\n").expect("said");
    let cached = |said: &str| {
        said.lines()
            .filter(|line| line.ends_with(" CACHED"))
            .count()
    };
    assert_eq!(cached(unchanged), 3, "{}", again.said);
    assert!(unchanged.contains("found: 0\n"), "{unchanged}");
    assert!(
        then.contains("run 1\n") && then.contains("run 2\n"),
        "{then}"
    );
    // Two platforms whose steps make the same file may be shown as one step.
    let configs = then.split("exporting config sha256:").skip(1);
    let configs: BTreeSet<&str> = configs.filter_map(|rest| rest.get(..64)).collect();
    assert_eq!(configs.len(), 2, "{then}");
    for part in [
        "exporting manifest list",
        "exporting attestation manifest",
        "pushing manifest for",
        "exporting cache to registry",
    ] {
        assert!(then.contains(part), "{part}: {then}");
    }
}

/// A user without rights.
const USER: &str = "65534";

/// The home, which is the user's from here on, as is what is built.
fn home_of_user(machine: &Machine, buildkitd: &Buildkitd) -> PathBuf {
    let home = machine.path("home");
    let context = buildkitd.context.display();
    let all = format!("chown -R {USER} {} {context}", home.display());
    machine.run("sh", &["-c", &all]);
    home
}

fn as_user(machine: &Machine, group: &str, line: &str) -> String {
    let mut command = machine.command("setpriv");
    command.args(["--reuid", USER, "--regid", group, "--clear-groups"]);
    let output = command.args(["sh", "-ec", line]).output();
    let output = output.expect("setpriv starts");
    assert!(output.status.success(), "{line}: {}", text(&output));
    text(&output)
}

#[test]
fn a_builder_beside_the_engine_is_the_users() {
    let (store, buildkitd) = (Store::new(), Buildkitd::new());
    let machine = Machine::new();
    let home = home_of_user(&machine, &buildkitd);
    let mut up = machine.larder_on("up", &store.url(), "private");
    buildkitd
        .found_by(&mut up)
        .arg("--builder")
        .arg("--env-file");
    let up = up
        .arg(home.join("env"))
        .env("BUILDX_BUILDER", "none")
        .output();
    let up = up.expect("larder starts");
    assert!(up.status.success(), "{}", text(&up));
    let status = text(&machine.larder("status").output().expect("larder starts"));
    assert!(
        status.contains("BUILDKIT_HOST=unix:///run/larder/"),
        "{status}"
    );

    // buildx's builder is ours, and docker's is the engine's.
    let group = machine.run("sh", &["-c", "getent group docker | cut -d: -f3"]);
    let load = buildkitd.build("--target app --load -t loaded");
    let build = load
        .replace("buildx build", "build")
        .replace("--load -t loaded", "-t built");
    let said = as_user(
        &machine,
        group.trim(),
        &format!(
            "export BUILDX_BUILDER=none; set -a; . ~/env; set +a
            {load}; docker run --rm loaded /bin/cat /runs; {build}; docker run --rm built /bin/cat /runs"
        ),
    );
    assert!(!said.contains("CACHED"), "{said}");
    let gone = machine.find("buildkitd --config").expect("it runs");
    let down = machine.larder("down").output().expect("larder starts");
    assert!(text(&down).contains("saved shop"), "{}", text(&down));
    assert!(!machine.proc(gone).exists());
    machine.assert_untouched();

    // Killed, it loses its own cache alone; a session that is killed leaves nothing.
    let next = Machine::new();
    let mut up = next.larder_on("up", &store.url(), "private");
    let up = buildkitd
        .found_by(&mut up)
        .args(["--builder", "--no-context"])
        .output();
    let up = up.expect("larder starts");
    let lines = String::from_utf8_lossy(&up.stdout).into_owned();
    let again = next.run("sh", &["-ec", &format!("{lines}\n({load}) 2>&1")]);
    assert_eq!(
        again
            .lines()
            .filter(|line| line.ends_with(" CACHED"))
            .count(),
        3,
        "{again}"
    );
    next.kill(next.background());
    let down = next.larder("down").output().expect("larder starts");
    assert!(text(&down).contains("had died"), "{}", text(&down));
    next.assert_untouched();
}

/// Nobody need be in a group docker where there is no Docker.
#[test]
fn a_builder_without_an_engine_is_whose_sudo_it_was() {
    let (store, buildkitd) = (Store::new(), Buildkitd::new());
    let machine = Machine::new();
    let home = home_of_user(&machine, &buildkitd);
    let mut up = machine.larder("up");
    buildkitd.found_by(&mut up);
    up.args([
        "--engine",
        "buildkit",
        "--store",
        &store.url(),
        "--env-file",
    ]);
    up.arg(home.join("env"))
        .env("SUDO_UID", USER)
        .env("SUDO_GID", USER);
    let up = up.output().expect("larder starts");
    assert!(up.status.success(), "{}", text(&up));
    let build = buildkitd.build("--target app");
    let said = as_user(&machine, USER, &format!("set -a; . ~/env; set +a; {build}"));
    assert!(!said.contains("CACHED"), "{said}");
    let down = machine.larder("down").output().expect("larder starts");
    assert!(text(&down).contains("larder: saved"), "{}", text(&down));
    machine.assert_untouched();
}

#[test]
fn a_machine_without_buildkitd_is_told_where_to_get_it() {
    let machine = Machine::new();
    for options in [&["--builder"][..], &["--engine", "buildkit"]] {
        let mut up = machine.larder("up");
        let output = up.args(options).output().expect("larder starts");
        assert_eq!(output.status.code(), Some(3), "{}", text(&output));
        let said = text(&output);
        assert!(
            said.contains("`buildkitd` was not found") && said.contains("moby/buildkit"),
            "{said}"
        );
    }
    machine.assert_untouched();
}

//! Podman and buildah, whose storage is on a volume.

use std::path::Path;

use crate::kit::{Store, context, text, wait_for};
use crate::machine::{Job, Machine};

/// Three steps that run something; the second counts in a cache mount.
const STEPS: &str = r#"FROM scratch
COPY busybox /bin/busybox
RUN ["/bin/busybox", "sh", "-c", "/bin/busybox --install -s /bin"]
RUN --mount=type=cache,target=/cache n=$(cat /cache/n || echo 0); echo $((n + 1)) | tee /cache/n > /n
RUN date > /date
"#;

/// Without the right to raise limits, podman's own ones cannot be had.
const RUN: &str = "podman run --network none --ulimit nofile=1024:1024 --ulimit nproc=1024:1024";

/// What a container alone knows.
const SECRET: &str = "container-secret-Kq3";

fn job(machine: &Machine, store: &Store, line: &str) -> Job {
    let report = machine.path("report.json");
    let mut run = machine.larder_on("run", &store.url(), "podman");
    run.args(["--size", "1GiB", "--json"]).arg(&report);
    let output = run.args(["--", "sh", "-ec", line]).output();
    Job::of(output.expect("larder starts"), &report)
}

fn build(context: &Path, options: &str) -> String {
    format!(
        "podman build --network none {options} -t app {}\n",
        context.display()
    )
}

/// What a session would have left, as far as it is not podman's own: its files in /run stay, as on any machine.
fn assert_nothing_is_left(machine: &Machine) {
    // Where something is mounted; a whole machine may lie below a directory of that name.
    let look = "ls -A /run/larder 2>/dev/null; \
                cut -d ' ' -f 5 /proc/self/mountinfo | grep -e ^/run/larder -e ^/var/lib/larder -e buildah-cache; true";
    wait_for("the machine as before", || {
        let left = machine.run("sh", &["-c", look]);
        (left.is_empty() && machine.processes().is_empty()).then_some(())
    });
}

#[test]
fn steps_and_cache_mounts_come_back_and_containers_do_not() {
    let (store, folder) = (Store::new(), tempfile::tempdir().expect("a folder"));
    let context = context(folder.path(), STEPS);
    let machine = Machine::new();
    let line = build(&context, "")
        + &format!("{RUN} --detach --name db --env SECRET={SECRET} app /bin/sleep 1234\n")
        + "buildah from --name work app; podman network create left; podman volume create data\n"
        + &format!("{RUN} --rm --volume data:/data app /bin/sh -c 'echo kept > /data/file'\n")
        // A build that goes on.
        + "printf 'FROM app\\nRUN sleep 1235' | podman build --network none - &\n"
        + "until pgrep -f 'sleep [1]235' > /dev/null; do sleep 0.1; done\n";
    let first = job(&machine, &store, &line).saved().empty();
    assert_eq!(first.cached(), 0, "{}", first.said);
    assert_eq!(first.report["warnings"], serde_json::json!([]));
    assert_nothing_is_left(&machine);

    // Another machine: all that a build made is there, and nothing of what ran.
    let machine = Machine::new();
    let line = build(&context, "")
        + "test -z \"$(podman ps --all --external --quiet; podman volume ls --quiet)\"\n"
        + "podman network ls --format '{{.Name}}' | grep -v podman && exit 9\n"
        + &format!("grep -r {SECRET} /var/lib/larder/podman && exit 8\n")
        + "awk '/ext4 .dev.loop/ { print $5, $6 }' /proc/self/mountinfo\n"
        + &build(&context, "--no-cache")
        + &format!("echo \"count: $({RUN} --rm app /bin/cat /n)\"\n");
    let second = job(&machine, &store, &line).saved().restored(&first);
    assert_eq!(second.cached(), 4, "{}", second.said);
    // Programs of images keep the rights that their modes give.
    for part in [
        "count: 2\n",
        "/var/lib/larder/podman/storage rw,nodev,noatime\n",
        "/var/tmp/buildah-cache rw,nosuid,nodev,noatime\n",
    ] {
        assert!(second.said.contains(part), "{part:?}: {}", second.said);
    }
    assert_nothing_is_left(&machine);
}

#[test]
fn a_session_of_podman_is_one_on_a_machine_and_may_die() {
    let (store, folder) = (Store::new(), tempfile::tempdir().expect("a folder"));
    let context = context(folder.path(), STEPS);
    let machine = Machine::new();
    let env_file = machine.path("env");
    let mut up = machine.larder_on("up", &store.url(), "podman");
    up.args(["--size", "1GiB", "--env-file"]).arg(&env_file);
    let up = up.output().expect("larder starts");
    assert!(up.status.success(), "{}", text(&up));
    let told = std::fs::read_to_string(&env_file).expect("written");
    assert!(told.contains("\nSTORAGE_DRIVER=\n"), "{told}");
    let conf = told.lines().next().expect("a line");
    let mut other = machine.larder_on("up", &store.url(), "podman");
    let other = other.args(["--scope", "other"]).output();
    let other = text(&other.expect("larder starts"));
    assert!(other.contains("wait for it to end"), "{other}");
    // Killed with a container that runs.
    let line = format!(
        "export {conf}; {} {RUN} --detach app /bin/sleep 1234",
        build(&context, "")
    );
    machine.run("sh", &["-ec", &line]);
    machine.kill(machine.background());
    let down = machine.larder("down").output().expect("larder starts");
    assert!(text(&down).contains("had died"), "{}", text(&down));
    assert_nothing_is_left(&machine);
    let again = job(&machine, &store, "podman images --quiet").saved();
    assert!(again.report["restored"].is_null(), "{}", again.said);
    assert_nothing_is_left(&machine);
}

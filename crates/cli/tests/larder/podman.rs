//! Podman and buildah, whose storage is on a volume.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, ExitStatus};

use serde_json::json;

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

/// An ordinary user of a machine, who may have numbers for a namespace from some number on.
struct User<'a> {
    machine: &'a Machine,
    number: u32,
}

impl<'a> User<'a> {
    fn of(machine: &'a Machine, number: u32, numbers: Option<u32>) -> Self {
        let home = machine.path("home");
        let of_user = format!("ci:x:{number}:{number}::{}:/bin/sh", home.display());
        let more = numbers.map(|first| format!("ci:{first}:65536"));
        let more = more.unwrap_or_default();
        for (file, line) in [("passwd", &of_user), ("subuid", &more), ("subgid", &more)] {
            let (own, place) = (machine.path(file), Path::new("/etc").join(file));
            let before = fs::read_to_string(&place).unwrap_or_default();
            fs::write(&own, before + line + "\n").expect("written");
            let (own, place) = (own.display().to_string(), place.display().to_string());
            machine.run("mount", &["--bind", &own, &place]);
        }
        let number_of = number.to_string();
        machine.run("chown", &[&number_of, &home.display().to_string()]);
        Self { machine, number }
    }

    fn command(&self, line: &str) -> Command {
        let number = self.number.to_string();
        let mut command = self.machine.command("setpriv");
        command.args(["--reuid", &number, "--regid", &number, "--clear-groups"]);
        command
            .env("HOME", self.machine.path("home"))
            .args(["sh", "-ec", line]);
        command
    }

    /// `sudo larder up`, which writes what the next steps find.
    fn up(&self, store: &Store) -> std::process::Output {
        let mut up = self.machine.larder_on("up", &store.url(), "podman");
        up.args(["--size", "1GiB", "--scope", "main", "--env-file"])
            .arg(self.machine.path("env"));
        up.args(["--no-context"])
            .env("SUDO_UID", self.number.to_string());
        up.env("SUDO_GID", self.number.to_string())
            .output()
            .expect("larder starts")
    }

    /// A whole job, of one step of the user's.
    fn job(&self, store: &Store, step: &str) -> Job {
        let up = self.up(store);
        assert!(up.status.success(), "{}", text(&up));
        let env = fs::read_to_string(self.machine.path("env")).expect("written");
        let conf = env.lines().next().expect("a line");
        let step = self.command(&format!("export {conf}; {step}")).output();
        let step = step.expect("setpriv starts");
        assert!(step.status.success(), "{}", text(&step));
        let report = self.machine.path("report.json");
        // It is not told whose podman it is to end.
        let mut down = self.machine.larder("down");
        down.args(["--store", &store.url(), "--project", "shop"])
            .args(["--scope", "main", "--json"]);
        let down = down.arg(&report).output();
        let mut output = down.expect("larder starts");
        output.stderr.extend_from_slice(text(&step).as_bytes());
        Job::of(output, &report)
    }
}

impl Drop for User<'_> {
    fn drop(&mut self) {
        // What the user's podman has until a boot; machines of tests have one /tmp.
        let _ = fs::remove_dir_all(format!("/tmp/podman-run-{}", self.number));
    }
}

#[test]
fn an_ordinary_users_podman_remembers_too() {
    let store = Store::new();
    let machine = Machine::new();
    let stranger = User::of(&machine, 4710, None);
    let refused = stranger.up(&store);
    assert_eq!(refused.status, ExitStatus::from_raw(3 << 8));
    assert!(
        text(&refused).contains("--add-subuids"),
        "{}",
        text(&refused)
    );

    let build = |user: &User| {
        let place = user.machine.path("context");
        fs::create_dir(&place).expect("made");
        let place = context(&place, &STEPS.replace("/date", "/date; chown 5:6 /date"));
        let (number, named) = (user.number.to_string(), place.display().to_string());
        user.machine.run("chown", &["-R", &number, &named]);
        build(&place, "")
    };
    let machine = Machine::new();
    let user = User::of(&machine, 4711, Some(200_000));
    let step = build(&user)
        + "podman run --detach --network none --env SECRET=container-secret app /bin/sleep 1234\n"
        + "podman network create left; podman volume create data\n"
        + "stat -c '%a %u' /run/larder-podman/storage\n";
    let first = user.job(&store, &step).saved().empty();
    assert_eq!(first.report["podman"]["user"], json!(4711));
    assert!(first.said.contains("700 4711\n"), "{}", first.said);
    assert_nothing_is_left(&machine);

    // On another machine the user has another number, and other ones for containers.
    let machine = Machine::new();
    let user = User::of(&machine, 4812, Some(700_000));
    // What the user's podman keeps of an earlier command does not see what is mounted later.
    let earlier = user.command("podman info > /dev/null").status();
    assert!(earlier.expect("setpriv starts").success());
    let step = build(&user)
        + "test -z \"$(podman ps --all --external --quiet; podman volume ls --quiet)\"\n"
        + "podman run --rm --network none app /bin/stat -c 'owner %u:%g' /date\n"
        + "podman run --rm --network none app /bin/sh -c 'echo count: $(cat /n)'\n";
    let second = user.job(&store, &step).saved().restored(&first);
    assert_eq!(second.cached(), 4, "{}", second.said);
    for part in ["owner 5:6\n", "count: 1\n"] {
        assert!(second.said.contains(part), "{part:?}: {}", second.said);
    }
    assert_nothing_is_left(&machine);
}

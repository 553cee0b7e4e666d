//! A session over several commands: `up`, `status`, `ls`, `down`, and docker's context.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Output, Stdio};

use serde_json::Value;

use crate::kit::{OF_ANOTHER_ENGINE, SMALL, Store, build, context, text, wait_for};
use crate::machine::Machine;

fn done(mut command: std::process::Command) -> Output {
    let output = command.output().expect("larder starts");
    assert!(output.status.success(), "{}", text(&output));
    output
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// `larder up`, and what it said.
fn up(machine: &Machine, store: &Store) -> String {
    let mut up = machine.larder_on("up", &store.url(), "private");
    up.arg("--no-context");
    text(&done(up))
}

#[test]
fn a_second_up_attaches_and_its_down_does_nothing() {
    let store = Store::new();
    let machine = Machine::new();
    let up = || up(&machine, &store);
    assert!(up().contains("started empty"));
    let background = machine.background();
    assert!(up().contains("attached to the running session"));
    let job = machine.job(&store.url(), &[], "docker info --format {{.Driver}}");
    assert!(
        job.code == 0 && job.said.contains("using the running session"),
        "{}",
        job.said
    );
    assert_eq!(machine.background(), background);
    // The second `up`'s, then the first one's.
    assert!(text(&done(machine.larder("down"))).contains("keeps running"));
    assert_eq!(machine.background(), background);
    let last = text(&done(machine.larder("down")));
    assert!(last.contains("saved shop"), "{last}");
    assert!(text(&done(machine.larder("down"))).contains("no session runs here"));
    machine.assert_untouched();
}

/// A user of one group alone, with a home of its own.
struct User<'a> {
    machine: &'a Machine,
    group: String,
}

impl<'a> User<'a> {
    const ID: &'static str = "65534";

    fn of(machine: &'a Machine, group: &str) -> Self {
        let line = format!("getent group {group} | cut -d: -f3");
        let number = machine.run("sh", &["-c", &line]);
        Self {
            machine,
            group: number.trim().to_owned(),
        }
    }

    fn command(&self, line: &str) -> std::process::Command {
        let mut command = self.machine.command("setpriv");
        command.args([
            "--reuid",
            Self::ID,
            "--regid",
            &self.group,
            "--clear-groups",
        ]);
        command.args(["sh", "-ec", line]);
        command
    }

    fn can(&self, line: &str) -> String {
        text(&done(self.command(line)))
    }

    fn cannot(&self, line: &str) {
        let output = self.command(line).output().expect("setpriv starts");
        let said = text(&output);
        assert!(
            !output.status.success() && said.contains("permission denied"),
            "{said}"
        );
    }

    /// Gives this user a folder with all that is in it.
    fn own(&self, folder: &std::path::Path) {
        let owner = format!("{}:{}", Self::ID, self.group);
        self.machine
            .run("chown", &["-R", &owner, &folder.display().to_string()]);
    }
}

/// Root starts and ends the session, with the home of a user of the group docker, as `sudo -E` does. All steps
/// between are that user's.
fn a_users_job(shape: &str) {
    let store = Store::new();
    let machine = Machine::new();
    // As after a boot, when no session has run yet.
    machine.run("sh", &["-c", "umask 077; rm -rf /run/larder"]);
    let (user, other) = (User::of(&machine, "docker"), User::of(&machine, "nogroup"));
    let home = machine.path("home");
    let context = context(&home, SMALL);
    fs::write(home.join("env"), "OTHER=1").expect("written");
    user.own(&home);
    fs::set_permissions(store.path(), fs::Permissions::from_mode(0o755)).expect("set");

    let mut up = machine.larder_on("up", &store.url(), shape);
    up.envs(OF_ANOTHER_ENGINE)
        .arg("--env-file")
        .arg(home.join("env"));
    let answer = done(up);
    let answer = String::from_utf8_lossy(&answer.stdout).into_owned();
    let in_vain = OF_ANOTHER_ENGINE
        .map(|(name, value)| format!("export {name}={value}; "))
        .concat();
    user.can(&format!("{in_vain} {answer} docker version"));
    let build = build(&context, "app");
    user.can(&format!(
        "{in_vain} set -a; . ~/env; [ $OTHER = 1 ]; {build}; docker run --rm app /bin/true; echo MINE=1 >> ~/env"
    ));
    // By the context that `up` has selected.
    user.can("docker version");
    let socket = machine.run("sh", &["-c", "echo /run/larder/*/docker.sock"]);
    other.cannot(&format!("docker -H unix://{} version", socket.trim()));
    if shape == "takeover" {
        other.cannot("docker -H unix:///var/run/docker.sock version");
    }
    let larder = machine.path("larder").display().to_string();
    let listed = user.can(&format!(
        "{larder} ls --project shop --store {}",
        store.url()
    ));
    assert!(listed.contains("no snapshots of shop"), "{listed}");
    user.can(&format!(
        "cd ~/context; {larder} key; {larder} plan --offline"
    ));
    // Settings and logs may hold passwords, of proxies for one.
    let closed = "find /run/larder -maxdepth 2 -type f -perm /o+rw ! -name dockerd.pid; \
        stat -c %a /run/larder /run/larder/*";
    let modes = machine.run("sh", &["-c", closed]);
    assert!(modes.starts_with("711\n711\n"), "{modes}");

    assert!(text(&done(machine.larder("down"))).contains("saved shop"));
    let listed = user.can(&format!(
        "{larder} ls --project shop --store {}",
        store.url()
    ));
    assert!(listed.contains("default @"), "{listed}");
    let roots = machine.run(
        "find",
        &[&home.display().to_string(), "-not", "-user", User::ID],
    );
    assert_eq!(roots, "");
    machine.assert_untouched();
}

#[test]
fn a_users_job_in_a_takeover() {
    a_users_job("takeover");
}

#[test]
fn a_users_job_in_a_private_session() {
    a_users_job("private");
}

#[test]
fn a_session_that_ends_is_waited_for_by_the_next() {
    let store = Store::new();
    let machine = Machine::new();
    let up = || up(&machine, &store);
    up();
    let first = machine.background();
    let mut down = machine.larder("down");
    let down = down.stderr(Stdio::null()).spawn();
    let mut down = down.expect("larder starts");
    // From here on nobody attaches to it, and it has yet to stop its engine.
    wait_for("its end to begin", || {
        let line = "ls /run/larder/*/control.sock 2>/dev/null || true";
        let control = machine.run("sh", &["-c", line]);
        control.is_empty().then_some(())
    });
    assert!(!up().contains("attached"));
    assert!(down.wait().expect("it ends").success());
    assert_ne!(machine.background(), first);
    done(machine.larder("down"));
    machine.assert_untouched();
}

#[test]
fn status_and_the_environment_file() {
    let store = Store::new();
    let machine = Machine::new();
    let file = machine.path("env");
    fs::write(&file, "OTHER=1\n").expect("written");
    let mut up = machine.larder_on("up", &store.url(), "private");
    up.arg("--no-context").arg("--env-file").arg(&file);
    let said = done(up);
    let lines = fs::read_to_string(&file).expect("read");
    let host = lines
        .strip_prefix("OTHER=1\nDOCKER_HOST=")
        .and_then(|rest| rest.lines().next())
        .expect("one more line");
    let answer = String::from_utf8_lossy(&said.stdout).into_owned();
    assert_eq!(
        answer.lines().next(),
        Some(&*format!("export DOCKER_HOST={host}"))
    );
    let mut docker = machine.command("docker");
    docker.env("DOCKER_HOST", host).arg("info");
    done(docker);
    assert!(text(&done(machine.larder("status"))).contains(host));
    let mut status = machine.larder("status");
    status.arg("--json");
    let status = json(&done(status));
    assert_eq!(status["lineage"]["project"], "shop");
    assert_eq!(
        format!(
            "unix://{}",
            status["engine"]["socket"].as_str().expect("a path")
        ),
        host
    );
    let mut down = machine.larder("down");
    down.arg("--discard");
    assert!(text(&done(down)).contains("nothing saved, as asked"));
    let mut status = machine.larder("status");
    let output = status.output().expect("larder starts");
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("no session runs"));
    assert!(store.objects("snapshots").is_empty());
    machine.assert_untouched();
}

#[test]
fn the_list_shows_each_snapshot_with_its_parent() {
    let store = Store::new();
    let machine = Machine::new();
    let line = "echo $0 > $HOME/file; tar -C $HOME -c file | docker import - x";
    let first = machine
        .job(&store.url(), &["--scope", "main"], line)
        .saved();
    let second = machine
        .job(&store.url(), &["--scope", "topic"], line)
        .saved()
        .restored(&first);
    let list = |project: &str, more: &[&str]| {
        let mut ls = machine.larder("ls");
        ls.args(["--store", &store.url(), "--project", project])
            .args(more);
        done(ls)
    };
    let all = json(&list("shop", &["--json"]));
    let of = |at: usize| &all[at];
    assert_eq!(all.as_array().map(Vec::len), Some(2));
    assert_eq!(of(0)["id"], second.report["saved"]["snapshot"]);
    assert_eq!(of(0)["parent"], first.report["saved"]["snapshot"]);
    assert_eq!(of(0)["lineage"]["scope"], "topic");
    assert!(of(1)["parent"].is_null());
    let table = text(&list("shop", &[]));
    let id = first.report["saved"]["snapshot"].as_str().expect("an id");
    assert!(
        table.contains(&id[..12]) && table.contains("default @ topic"),
        "{table}"
    );
    let other = text(&list("other", &[]));
    assert!(other.contains("no snapshots of other"), "{other}");
}

#[test]
fn the_report_holds_what_a_job_did() {
    let store = Store::new();
    let machine = Machine::new();
    let line =
        "head -c 2000000 /dev/urandom > $HOME/noise; tar -C $HOME -c noise | docker import - x";
    let first = machine.job(&store.url(), &[], line).saved();
    let second = machine
        .job(&store.url(), &[], "docker run --rm x /x; true")
        .saved();
    let names = |job: &Value| -> Vec<String> {
        let phases = job["phases"].as_array().expect("phases");
        phases
            .iter()
            .map(|phase| phase["name"].as_str().expect("a name").to_owned())
            .collect()
    };
    let expected = [
        "find", "volume", "engine", "facts", "command", "quiesce", "collect", "stop", "scrub",
        "close", "pack", "publish",
    ];
    assert_eq!(names(&first.report), expected);
    let stored = first.report["saved"]["stored_bytes"]
        .as_u64()
        .expect("a number");
    assert!(stored > 2_000_000, "{stored}");
    let fetched = &second.report["fetched"];
    assert!(fetched["requests"].as_u64() > Some(0) && fetched["bytes"].as_u64() > Some(0));
    assert_eq!(
        second.report["saved"]["parent"],
        first.report["saved"]["snapshot"]
    );
    assert_eq!(second.report["engine"]["shape"], "private");
    assert_eq!(second.report["engine"]["image_store"], "overlay2");
    assert_eq!(second.report["volume"]["bytes"], 64_u64 << 30);
    assert!(second.report["engine"]["version"].is_string());
}

#[test]
fn dockers_context_is_selected_and_given_back() {
    let store = Store::new();
    let machine = Machine::new();
    let show = || {
        machine
            .run("docker", &["context", "show"])
            .trim()
            .to_owned()
    };
    machine.run(
        "docker",
        &[
            "context",
            "create",
            "mine",
            "--docker",
            "host=tcp://127.0.0.1:1",
        ],
    );
    machine.run("docker", &["context", "use", "mine"]);
    done(machine.larder_on("up", &store.url(), "private"));
    assert_eq!(show(), "larder");
    machine.run("docker", &["info"]);
    done(machine.larder("down"));
    assert_eq!(show(), "mine");
    let listed = machine.run("docker", &["context", "ls", "--format", "{{.Name}}"]);
    assert!(!listed.contains("larder"), "{listed}");
    // A session that dies leaves the context to the `down` that clears.
    done(machine.larder_on("up", &store.url(), "private"));
    machine.kill(machine.background());
    done(machine.larder("down"));
    assert_eq!(show(), "mine");
    machine.assert_untouched();
}

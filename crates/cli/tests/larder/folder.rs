//! Directories that remember, without an engine.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};

use crate::kit::{Store, text, wait_for};
use crate::machine::{Job, Machine};

const USER: &str = "65534";
/// What sudo(8) says of who called it.
const SUDO: [(&str, &str); 2] = [("SUDO_UID", USER), ("SUDO_GID", USER)];

fn done(mut command: Command) -> String {
    let output = command.output().expect("it starts");
    assert!(output.status.success(), "{}", text(&output));
    text(&output)
}

fn mount(machine: &Machine, store: &Store, folder: &Path) -> Output {
    let mut mount = machine.larder("mount");
    mount.args(["--store", &store.url(), "--project", "shop", "cargo"]);
    mount.arg(folder).envs(SUDO);
    mount.output().expect("larder starts")
}

fn unmount(machine: &Machine, what: &str) -> String {
    let mut unmount = machine.larder("unmount");
    unmount.arg(what);
    done(unmount)
}

/// `larder run --dir target` in the home, whose line sees it.
fn run(machine: &Machine, store: &Store, options: &[&str], line: &str) -> Job {
    let report = machine.path("report.json");
    let mut run = machine.larder("run");
    run.args([
        "--store",
        &store.url(),
        "--project",
        "shop",
        "--job",
        "cargo",
    ]);
    run.arg("--dir").arg(target(machine)).args(options);
    run.arg("--json")
        .arg(&report)
        .args(["--", "sh", "-ec", line]);
    Job::of(run.output().expect("larder starts"), &report)
}

fn target(machine: &Machine) -> PathBuf {
    machine.path("home").join("target")
}

fn as_user(machine: &Machine, line: &str) -> String {
    let ids = ["--reuid", USER, "--regid", USER, "--clear-groups"];
    let mut command = machine.command("setpriv");
    command.args(ids).args(["sh", "-ec", line]);
    done(command)
}

/// Something of the machine's that goes on beside the session.
fn beside(machine: &Machine, line: &str) -> Child {
    let begun = machine.path("begun");
    let line = format!("{line}; touch {}; exec sleep 777", begun.display());
    let child = machine.command("sh").args(["-ec", &line]).spawn();
    let child = child.expect("sh starts");
    wait_for("a process beside", || begun.exists().then_some(()));
    fs::remove_file(begun).expect("removed");
    child
}

#[test]
fn a_users_directory_comes_back_on_another_machine() {
    let store = Store::new();
    let machine = Machine::new();
    let folder = target(&machine);
    let mounted = mount(&machine, &store, &folder);
    assert!(
        text(&mounted).contains("started empty"),
        "{}",
        text(&mounted)
    );
    as_user(
        &machine,
        "cd ~/target; mkdir -p a/b; echo one > a/b/c; touch -d @1700000000 a/b/c; chmod 640 a/b/c",
    );
    let options = machine.run(
        "sh",
        &["-c", "grep ' /tmp/.*home/target ' /proc/self/mountinfo"],
    );
    assert!(options.contains("nosuid,nodev"), "{options}");
    assert!(text(&mount(&machine, &store, &folder)).contains("attached"));
    let status = done(machine.larder("status"));
    assert!(
        status.contains(&format!("directory {}", folder.display())),
        "{status}"
    );
    assert!(unmount(&machine, "cargo").contains("keeps running"));
    // A namespace that is made meanwhile has a copy of the mount.
    let mut other = machine.command("unshare");
    other.args(["--mount", "--propagation", "unchanged", "sleep", "778"]);
    let mut other = other.spawn().expect("unshare starts");
    wait_for("the namespace", || machine.find("sleep 778"));
    let said = unmount(&machine, &folder.display().to_string());
    assert!(said.contains("saved shop / cargo"), "{said}");
    machine.kill(machine.find("sleep 778").expect("it runs"));
    other.wait().expect("it ended");
    let meta = folder.metadata().expect("it stays");
    assert_eq!(
        (meta.uid(), folder.read_dir().expect("listed").count()),
        (65534, 0)
    );
    assert!(unmount(&machine, "cargo").contains("mounted nothing"));
    fs::write(folder.join("file"), "x").expect("written");
    let refused = mount(&machine, &store, &folder);
    assert_eq!(refused.status.code(), Some(2), "{}", text(&refused));
    assert!(
        text(&refused).contains("is not empty"),
        "{}",
        text(&refused)
    );
    fs::remove_dir_all(&folder).expect("removed");
    machine.assert_untouched();
    comes_back(&store);
}

/// On a machine where the user has another number, and mounts are shared, as systemd has it.
fn comes_back(store: &Store) {
    let machine = Machine::new();
    let folder = target(&machine);
    fs::create_dir(&folder).expect("made");
    machine.run("chown", &["1234:1235", &folder.display().to_string()]);
    machine.run("mount", &["--make-shared", "/"]);
    let line = "cd ~/target; cat a/b/c; stat -c %u:%g:%a:%Y . a/b/c; echo two > a/b/d";
    let job = run(&machine, store, &[], line).saved();
    machine.run("mount", &["--make-private", "/"]);
    for part in [
        "one\n1234:1235:755:",
        "1234:1235:640:1700000000",
        "mounted /",
    ] {
        assert!(job.said.contains(part), "{part}: {}", job.said);
    }
    assert!(
        job.report["restored"]["snapshot"].is_string(),
        "{}",
        job.said
    );
    assert!(job.report["engine"].is_null() && job.report["used_ms"].is_u64());
    machine.assert_untouched();
    let job = run(
        &machine,
        store,
        &["--keep", "100KiB"],
        "test ! -e ~/target/a",
    )
    .saved();
    assert!(
        job.said.contains("starting empty: snapshot"),
        "{}",
        job.said
    );
    assert!(job.report["restored"].is_null(), "{}", job.said);
}

#[test]
fn who_uses_a_directory_at_its_end_is_asked_and_never_killed() {
    let store = Store::new();
    let machine = Machine::new();
    let folder = target(&machine);
    // A build tool's server.
    assert!(mount(&machine, &store, &folder).status.success());
    let mut server = beside(&machine, &format!("exec 3> {}/log", folder.display()));
    let said = unmount(&machine, "cargo");
    assert!(
        said.contains("(sleep) to end") && said.contains("saved shop"),
        "{said}"
    );
    server.wait().expect("it ended");
    machine.assert_untouched();
    // Somebody's shell.
    assert!(mount(&machine, &store, &folder).status.success());
    let mut shell = beside(&machine, &format!("cd {}", folder.display()));
    let said = unmount(&machine, "cargo");
    assert!(said.contains("(sleep) is in the directory"), "{said}");
    assert!(shell.try_wait().expect("asked").is_none(), "it was killed");
    assert_eq!(folder.read_dir().expect("listed").count(), 0);
    machine.kill(machine.find("sleep 777").expect("it runs"));
    shell.wait().expect("it ended");
    machine.assert_untouched();
    // Whoever reads in it when the session dies, too.
    assert!(mount(&machine, &store, &folder).status.success());
    let mut reader = beside(&machine, &format!("exec 3> {}/log", folder.display()));
    machine.kill(machine.background());
    let said = unmount(&machine, "cargo");
    assert!(said.contains("the session had died"), "{said}");
    assert!(reader.try_wait().expect("asked").is_none(), "it was killed");
    assert_eq!(folder.read_dir().expect("listed").count(), 0);
    machine.kill(machine.find("sleep 777").expect("it runs"));
    reader.wait().expect("it ended");
    machine.assert_untouched();
    let job = run(&machine, &store, &[], "test -e ~/target/log; kill -9 $PPID").code;
    assert_eq!(job, 137, "larder was killed, and its session saves");
    wait_for("the session's end", || {
        machine.find(" __serve").is_none().then_some(())
    });
    assert_eq!(store.objects("snapshots").len(), 2);
    machine.assert_untouched();
}

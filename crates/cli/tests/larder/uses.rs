//! A session with several users: who goes first leaves it to the others, and one that is killed is gone.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::kit::{Store, text, wait_for};
use crate::machine::Machine;

fn said(mut command: Command) -> String {
    let output = command.output().expect("larder starts");
    assert!(output.status.success(), "{}", text(&output));
    text(&output)
}

fn up(machine: &Machine, store: &Store) -> Command {
    let mut up = machine.larder_on("up", &store.url(), "private");
    up.arg("--no-context");
    up
}

/// A `larder run` whose command has begun, and ends when there is a file `end` beside this one.
fn run(machine: &Machine, store: &Store, begun: &Path) -> Child {
    let end = begun.with_file_name("end");
    let line = format!(
        "touch {}; until [ -e {} ]; do sleep 0.05; done",
        begun.display(),
        end.display()
    );
    let mut run = machine.larder_on("run", &store.url(), "private");
    run.args(["--", "sh", "-c", &line]).stderr(Stdio::piped());
    let child = run.spawn().expect("larder starts");
    wait_for("the command", || begun.exists().then_some(()));
    child
}

fn is_up(machine: &Machine) -> bool {
    let status = machine.larder("status").output().expect("larder starts");
    status.status.success()
}

#[test]
fn a_run_leaves_its_session_to_who_attached() {
    let (store, machine) = (Store::new(), Machine::new());
    let owner = run(&machine, &store, &machine.path("begun"));
    assert!(said(up(&machine, &store)).contains("attached"));
    std::fs::write(machine.path("end"), "").expect("written");
    let owner = owner.wait_with_output().expect("it ends");
    let left = text(&owner);
    assert!(
        left.contains("the session keeps running: its other user will save and end it"),
        "{left}"
    );
    assert!(is_up(&machine));
    assert!(said(machine.larder("down")).contains("saved shop"));
    machine.assert_untouched();
}

#[test]
fn a_run_that_is_killed_takes_its_use_back() {
    let (store, machine) = (Store::new(), Machine::new());
    assert!(said(up(&machine, &store)).contains("started empty"));
    let mut attached = run(&machine, &store, &machine.path("begun"));
    let pid = machine.find("larder run").expect("it runs");
    machine.kill(pid);
    attached.wait().expect("it ends");
    // The session hears of it before or after this, and ends in either case.
    said(machine.larder("down"));
    wait_for("the end", || (!is_up(&machine)).then_some(()));
    std::fs::write(machine.path("end"), "").expect("written");
    wait_for("a snapshot", || store.objects("snapshots").pop());
}

/// A pull request's job beside one of main: each works in an engine of its own, and saves what is its own.
#[test]
fn a_job_of_another_line_gets_a_session_of_its_own() {
    let (store, machine) = (Store::new(), Machine::new());
    said(up(&machine, &store));
    let import = "cd $HOME && echo poison > poison && tar -c poison | docker import - poison";
    let mut pull = machine.larder_on("run", &store.url(), "auto");
    pull.args(["--scope", "pull/9", "--", "sh", "-c", import]);
    let pull = said(pull);
    assert!(
        pull.contains("one of its own beside it") && pull.contains("saved shop"),
        "{pull}"
    );
    // The docker command line has one current context: main's.
    said(machine.larder_on("up", &store.url(), "private"));
    let mut context = machine.larder_on("up", &store.url(), "private");
    let context = context.args(["--scope", "pull/9"]).output();
    let context = context.expect("larder starts");
    assert_eq!(context.status.code(), Some(1), "{}", text(&context));
    assert!(text(&context).contains("--env-file"), "{}", text(&context));
    let mut takeover = machine.larder_on("up", &store.url(), "takeover");
    let takeover = takeover.args(["--scope", "pull/9"]).output();
    let takeover = text(&takeover.expect("larder starts"));
    assert!(takeover.contains("--engine private"), "{takeover}");

    let mut down = machine.larder("down");
    down.args(["--scope", "pull/9"]);
    assert!(said(down).contains("no session for"), "not main's to end");
    assert!(said(machine.larder("down")).contains("keeps running"));
    assert!(said(machine.larder("down")).contains("saved shop"));
    machine.assert_untouched();
    let beside = std::fs::read_dir(machine.state().join("beside"));
    assert_eq!(beside.expect("made").count(), 0);
    let job = machine.job(&store.url(), &[], "docker image inspect poison");
    assert_ne!(job.code, 0, "{}", job.said);
}

#[test]
fn sessions_belong_to_root() {
    let (store, machine) = (Store::new(), Machine::new());
    said(up(&machine, &store));
    for verb in ["status", "down"] {
        let larder = machine.larder(verb);
        let words = larder.get_args().skip_while(|word| *word != "--").skip(1);
        let mut command = machine.command("setpriv");
        command
            .args(["--reuid=65534", "--clear-groups"])
            .args(words);
        let output = command.output().expect("larder starts");
        assert_eq!(output.status.code(), Some(3), "{}", text(&output));
        assert!(text(&output).contains("sudo"), "{}", text(&output));
    }
    said(machine.larder("down"));
    machine.assert_untouched();
}

#[test]
fn what_cannot_be_written_is_told_before_the_start() {
    let (store, machine) = (Store::new(), Machine::new());
    for (verb, option) in [("up", "--env-file"), ("up", "--json"), ("run", "--json")] {
        let mut command = machine.larder_on(verb, &store.url(), "private");
        command.args([option, "/no/such/folder/file"]);
        if verb == "run" {
            command.args(["--", "echo", "ran"]);
        }
        let output = command.output().expect("larder starts");
        assert_eq!(output.status.code(), Some(2), "{}", text(&output));
        let said = text(&output);
        assert!(
            said.contains(option) && said.contains("/no/such/folder/file"),
            "{said}"
        );
        assert!(!said.contains("ran") && !is_up(&machine), "{said}");
    }
    machine.assert_untouched();
}

#[test]
fn a_failed_up_leaves_no_context() {
    let (store, machine) = (Store::new(), Machine::new());
    let mut up = machine.larder_at("up", Path::new("/proc/none"));
    up.args(["--store", &store.url(), "--engine", "private"]);
    let output = up.output().expect("larder starts");
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    assert!(text(&output).contains("--state"), "{}", text(&output));
    let listed = machine.run("docker", &["context", "ls", "--quiet"]);
    assert_eq!(listed.trim(), "default");
}

#[test]
fn a_down_waits_for_a_session_that_is_starting() {
    let (store, machine) = (Store::new(), Machine::new());
    let starting = up(&machine, &store).stderr(Stdio::piped()).spawn();
    let record = machine.state().join("session.json");
    wait_for("the start", || record.exists().then_some(()));
    assert!(said(machine.larder("down")).contains("saved shop"));
    let output = starting.expect("larder starts").wait_with_output();
    let output = output.expect("it ends");
    assert!(output.status.success(), "{}", text(&output));
    machine.assert_untouched();
}

#[test]
fn a_down_waits_for_a_session_that_is_ending() {
    let (store, machine) = (Store::new(), Machine::new());
    let mut owner = run(&machine, &store, &machine.path("begun"));
    machine.kill(machine.find("larder run").expect("it runs"));
    owner.wait().expect("it ends");
    said(machine.larder("down"));
    assert_eq!(store.objects("snapshots").len(), 1);
    assert!(!is_up(&machine));
    std::fs::write(machine.path("end"), "").expect("written");
}

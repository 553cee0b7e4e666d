//! A store behind the network: a real S3 server.

use std::time::{Duration, Instant};

use crate::kit::{SMALL, build, context, text, wait_for};
use crate::machine::{Job, Machine};
use crate::s3::{self, KEY, PORT, SECRET, STORE, with_credentials};

/// Starts the server on this machine, with a bucket.
fn serve(machine: &Machine) {
    // It ends with the machine.
    let _server = s3::start(machine.command(&s3::program()), &machine.path("moto.log"));
    wait_for("the S3 server", || {
        let mut bucket = machine.command("sh");
        let made = bucket.args(["-c", s3::MAKE_BUCKET]).output();
        made.expect("sh starts").status.success().then_some(())
    });
}

fn job(machine: &Machine, port: u16, line: &str) -> Job {
    let report = machine.path("report.json");
    let mut run = machine.larder_on("run", STORE, "private");
    with_credentials(&mut run, port);
    run.arg("--json")
        .arg(&report)
        .args(["--", "sh", "-c", line]);
    Job::of(run.output().expect("larder starts"), &report)
}

/// Everything that others on the machine can see, or that stays: command lines, logs and settings of
/// the session, the environment of the engine.
const LOOK: &str = "ps axww; cat /run/larder/*/*.log /run/larder/*/*.json /run/larder/*/*.toml; \
    for pid in $(pgrep dockerd) $(pgrep containerd); do tr '\\0' '\\n' </proc/$pid/environ; done; cat $STATE/*.json; \
    docker info";

#[test]
fn an_s3_store_serves_and_its_credentials_stay_hidden() {
    let machine = Machine::new();
    serve(&machine);
    let context = context(machine.folder.path(), SMALL);
    let state = machine.state();
    let line = format!(
        "STATE={}; {LOOK}; {}",
        state.display(),
        build(&context, "app")
    );
    let first = job(&machine, PORT, &line).saved().empty();
    let second = job(&machine, PORT, &line).saved().restored(&first);
    assert_eq!(second.cached(), 3, "{}", second.said);
    let mut ls = machine.larder("ls");
    ls.args(["--json", "--store", STORE, "--project", "shop"]);
    let listed = text(
        &with_credentials(&mut ls, PORT)
            .output()
            .expect("larder starts"),
    );
    let id = first.report["saved"]["snapshot"].as_str().expect("an id");
    assert!(listed.contains(id), "{listed}");
    let reports = format!("{}{}", first.report, second.report);
    for seen in [&first.said, &second.said, &listed, &reports] {
        assert!(!seen.contains(SECRET) && !seen.contains(KEY), "{seen}");
    }
    assert!(
        first.said.contains("__serve") && first.said.contains("dockerd"),
        "{}",
        first.said
    );
}

/// Nobody listens on the store's port: the job works, and does not wait for long.
#[test]
fn a_store_that_does_not_answer_is_a_miss() {
    let machine = Machine::new();
    let started = Instant::now();
    let job = job(&machine, PORT + 1, "docker info --format {{.Driver}}").empty();
    let took = started.elapsed();
    assert_eq!(job.code, 0, "{}", job.said);
    assert!(
        job.said.contains("overlay2\n") && job.said.contains("stays the newest"),
        "{}",
        job.said
    );
    assert!(
        took < Duration::from_secs(60),
        "it took {took:?}: {}",
        job.said
    );
    assert!(!job.said.contains(SECRET), "{}", job.said);
    machine.assert_untouched();
}

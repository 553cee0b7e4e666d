//! `larder up --foreground`, as a container's main process.

use std::process::{Child, Output, Stdio};

use rustix::process::Signal;

use crate::kit::{SMALL, Store, build, context, text, wait_for};
use crate::machine::{self, Machine};

/// Starts it, and waits until it says where the engine is.
fn up(machine: &Machine, store: &Store, grace: &str) -> (Child, String) {
    let file = machine.path("environment");
    let _ = std::fs::remove_file(&file);
    let mut up = machine.larder_on("up", &store.url(), "private");
    up.args(["--no-context", "--foreground", "--grace", grace])
        .arg("--env-file")
        .arg(&file)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let child = up.spawn().expect("larder starts");
    let socket = wait_for("the engine", || {
        let lines = std::fs::read_to_string(&file).ok()?;
        let line = lines
            .lines()
            .find_map(|line| line.strip_prefix("DOCKER_HOST="));
        line.map(str::to_owned)
    });
    (child, socket)
}

/// Ends it as `docker stop` does.
fn stop(child: Child) -> Output {
    machine::signal(&child, Signal::TERM);
    child.wait_with_output().expect("it ends")
}

#[test]
fn a_signal_saves_within_the_grace_and_nothing_after_it() {
    let store = Store::new();
    let machine = Machine::new();
    let image = context(machine.folder.path(), SMALL);
    let (first, socket) = up(&machine, &store, "5min");
    let line = format!("DOCKER_HOST={socket} {}", build(&image, "app"));
    machine.run("sh", &["-c", &line]);
    let output = stop(first);
    assert!(output.status.success(), "{}", text(&output));
    assert!(text(&output).contains("saved shop"), "{}", text(&output));
    machine.assert_untouched();

    let (second, socket) = up(&machine, &store, "0s");
    let line = format!("DOCKER_HOST={socket} docker build -q {}", image.display());
    machine.run("sh", &["-c", &line]);
    let output = stop(second);
    let said = text(&output);
    assert!(output.status.success(), "{said}");
    assert!(
        said.contains("nothing saved: ending took longer than --grace"),
        "{said}"
    );
    assert_eq!(store.objects("snapshots").len(), 1);
    machine.assert_untouched();
}

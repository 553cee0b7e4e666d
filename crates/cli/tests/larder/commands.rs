//! Exit codes, signals and wrong input.

use std::fs;
use std::process::Stdio;

use rustix::process::Signal;

use crate::kit::{Store, text, wait_for};
use crate::machine::{self, Job, Machine};

#[test]
fn the_commands_own_exit_code_is_passed_on_and_its_work_is_saved() {
    let store = Store::new();
    let machine = Machine::new();
    for (line, code) in [
        ("exit 7", 7),
        ("exit 0", 0),
        ("kill -9 $$", 137),
        ("kill $$", 143),
    ] {
        let job = machine.job(&store.url(), &[], &format!("docker volume ls -q; {line}"));
        assert_eq!(job.code, code, "{line}: {}", job.said);
        assert_eq!(job.report["command"]["exit_code"], code);
        assert!(job.report["not_saved"].is_null(), "{line}: {}", job.said);
        assert!(
            job.report["saved"]["snapshot"].is_string(),
            "{line}: {}",
            job.said
        );
    }
    machine.assert_untouched();
}

#[test]
fn a_command_that_cannot_be_started() {
    let store = Store::new();
    let machine = Machine::new();
    for (program, code, why) in [
        ("no-such-program", 127, "No such file"),
        ("/etc/docker/daemon.json", 126, "Permission denied"),
    ] {
        let mut command = machine.larder_on("run", &store.url(), "private");
        let output = command
            .args(["--", program])
            .output()
            .expect("larder starts");
        assert_eq!(output.status.code(), Some(code), "{}", text(&output));
        assert!(text(&output).contains(why), "{}", text(&output));
    }
    machine.assert_untouched();
}

#[test]
fn signals_are_passed_on_and_the_volume_is_saved() {
    let store = Store::new();
    for (signal, name) in [(Signal::TERM, "TERM"), (Signal::INT, "INT")] {
        let machine = Machine::new();
        let (started, report) = (machine.path("started"), machine.path("report.json"));
        let line = format!(
            "trap 'echo got {name}; exit 9' {name}; touch {}; while :; do sleep 0.05; done",
            started.display()
        );
        let mut command = machine.larder_on("run", &store.url(), "private");
        command
            .arg("--json")
            .arg(&report)
            .args(["--", "sh", "-c", &line]);
        let child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let child = child.expect("larder starts");
        wait_for("the command", || started.exists().then_some(()));
        machine::signal(&child, signal);
        let job = Job::of(child.wait_with_output().expect("it ends"), &report);
        assert_eq!(job.code, 9, "{}", job.said);
        assert!(job.said.contains(&format!("got {name}")), "{}", job.said);
        assert!(job.report["saved"]["snapshot"].is_string(), "{}", job.said);
        machine.assert_untouched();
    }
}

#[test]
fn wrong_values_are_named_with_their_cure() {
    let machine = Machine::new();
    for (option, value, words) in [
        (
            "--engine",
            "vm",
            &["vm", "auto, takeover, private, podman or buildkit"][..],
        ),
        ("--image-store", "aufs", &["aufs", "overlay2 or containerd"]),
        ("--size", "tiny", &["--size", "tiny"]),
        ("--size", "5MiB", &["--size", "5MiB", "1GiB"]),
        ("--keep", "-1", &["--keep", "-1"]),
        ("--store", "ftp://host/x", &["ftp"]),
        ("--config", "/no/such.toml", &["/no/such.toml"]),
        ("--scope", "", &["--scope"]),
        ("--no-such-option", "x", &["--no-such-option"]),
    ] {
        let given = format!("{option}={value}");
        let output = machine.larder("run").args([&given, "--", "true"]).output();
        let output = output.expect("larder starts");
        let said = text(&output);
        assert_eq!(output.status.code(), Some(2), "{given}: {said}");
        assert!(
            words.iter().all(|word| said.contains(word)),
            "{given}: {said}"
        );
    }
}

#[test]
fn a_wrong_file_is_named_with_its_line() {
    let machine = Machine::new();
    let file = machine.path("larder.toml");
    for (content, words) in [
        (
            "store = \"file:///x\"\nstroe = 1\n",
            &["line 2", "stroe"][..],
        ),
        ("size = 5\n", &["line 1", "size"]),
        ("store = \n", &["line 1"]),
        ("engine = \"vm\"\n", &["vm"]),
    ] {
        fs::write(&file, content).expect("written");
        let mut command = machine.larder("run");
        command.arg("--config").arg(&file).args(["--", "true"]);
        let output = command.output().expect("larder starts");
        let said = text(&output);
        assert_eq!(output.status.code(), Some(2), "{content}: {said}");
        assert!(
            words.iter().all(|word| said.contains(word)),
            "{content}: {said}"
        );
    }
}

#[test]
fn strict_makes_a_warning_a_failure() {
    let machine = Machine::new();
    let job = machine.job("file:///proc/no/store", &[], "echo ran");
    assert!(
        job.said.contains("ran") && job.said.contains("nothing saved"),
        "{}",
        job.said
    );
    assert_eq!(job.code, 0, "{}", job.said);
    let job = machine.job("file:///proc/no/store", &["--strict"], "echo ran");
    assert_eq!(job.code, 1, "{}", job.said);
    machine.assert_untouched();
}

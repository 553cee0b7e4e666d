//! An engine in the machine's place: the usual socket is served, and the machine is as before.

use crate::kit::{OF_ANOTHER_ENGINE, SMALL, Store, build, context, text};
use crate::machine::{Machine, newer_engine};

const NETWORK_AND_PORT: &str = "docker network create n >/dev/null && docker run -d -p 8080:80 --network n app \
    /bin/sleep 1000 >/dev/null && docker run -d -p 8081:80 app /bin/sleep 1000 >/dev/null";

#[test]
fn the_usual_socket_is_served_and_the_network_is_as_before() {
    takes_over(&Machine::new(), &["-o docker0 -j DOCKER", ":FORWARD DROP"]);
}

/// Docker 28 has chains that lead to chains.
#[test]
fn a_newer_engine_leaves_the_network_as_before() {
    let Some(engine) = newer_engine() else {
        println!("skipped: `cargo xtask engine` could not unpack the newer engine");
        return;
    };
    let machine = Machine::with_engine(engine.into());
    takes_over(&machine, &["-A DOCKER-FORWARD -j DOCKER-CT"]);
}

fn takes_over(machine: &Machine, rules: &[&str]) {
    let store = Store::new();
    let folder = tempfile::tempdir().expect("a folder");
    let context = context(folder.path(), SMALL);
    let line = format!(
        "unset DOCKER_HOST; {} && {NETWORK_AND_PORT} && iptables-save",
        build(&context, "app")
    );
    for cached in [0, 3] {
        let mut run = machine.larder_on("run", &store.url(), "auto");
        // As a template for another engine sets them: the command's docker is not to see any of them.
        run.envs(OF_ANOTHER_ENGINE);
        run.args(["--json"]).arg(machine.path("report.json"));
        let output = run
            .args(["--", "sh", "-c", &line])
            .output()
            .expect("larder starts");
        let job = crate::machine::Job::of(output, &machine.path("report.json")).saved();
        assert_eq!(job.report["engine"]["shape"], "takeover");
        let has = |rule: &&str| job.said.contains(*rule);
        assert!(rules.iter().all(has), "{}", job.said);
        assert_eq!(job.cached(), cached, "{}", job.said);
        machine.assert_untouched();
    }
}

#[test]
fn the_network_is_as_before_after_a_crash_too() {
    let store = Store::new();
    let machine = Machine::new();
    let folder = tempfile::tempdir().expect("a folder");
    let context = context(folder.path(), SMALL);
    let mut up = machine.larder_on("up", &store.url(), "takeover");
    up.arg("--no-context");
    assert!(up.output().expect("larder starts").status.success());
    machine.run(
        "sh",
        &[
            "-c",
            &format!("{} && {NETWORK_AND_PORT}", build(&context, "app")),
        ],
    );
    machine.kill(machine.background());
    let down = machine.larder("down").output().expect("larder starts");
    assert!(
        text(&down).contains("the session had died"),
        "{}",
        text(&down)
    );
    machine.assert_untouched();
}

/// Rules and a bridge that an engine of the machine's left are not ours to remove.
#[test]
fn what_an_engine_left_before_stays() {
    let store = Store::new();
    let machine = Machine::new();
    machine.run("ip", &["link", "add", "docker0", "type", "bridge"]);
    machine.run("iptables", &["-N", "DOCKER-USER"]);
    machine.run(
        "iptables",
        &["-A", "DOCKER-USER", "-s", "192.0.2.0/24", "-j", "DROP"],
    );
    let mut run = machine.larder_on("run", &store.url(), "takeover");
    let output = run
        .args(["--", "docker", "info"])
        .output()
        .expect("larder starts");
    assert!(output.status.success(), "{}", text(&output));
    machine.run("ip", &["link", "show", "docker0"]);
    let rules = machine.run("iptables-save", &[]);
    assert!(
        rules.contains("-A DOCKER-USER -s 192.0.2.0/24 -j DROP"),
        "{rules}"
    );
    assert!(
        !rules.contains("DOCKER-ISOLATION") && !rules.contains(":DOCKER "),
        "{rules}"
    );
}

//! A store behind the network: a real S3 server.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::kit::{SMALL, build, context, text, wait_for};
use crate::machine::{Job, Machine};

const SECRET: &str = "kept-between-us-4711";
const KEY: &str = "key-of-the-house-0815";

/// Starts moto on this machine, with a bucket.
fn serve(machine: &Machine) {
    let moto = std::env::var("LARDER_TEST_MOTO")
        .expect("the S3 server is missing; `cargo xtask test` installs it and says where it is");
    let log = std::fs::File::create(machine.path("moto.log")).expect("made");
    machine
        .command(&moto)
        .args(["-H", "127.0.0.1", "-p", "5055"])
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("moto starts");
    let create = "printf 'PUT /shop HTTP/1.0\\r\\nHost: localhost\\r\\nAuthorization: AWS4-HMAC-SHA256 \
        Credential=x/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=x\\r\\n\
        Content-Length: 0\\r\\n\\r\\n' | busybox nc 127.0.0.1 5055";
    wait_for("the S3 server", || {
        let output = machine
            .command("sh")
            .args(["-c", create])
            .output()
            .expect("sh starts");
        text(&output).contains("200 OK").then_some(())
    });
}

fn with_credentials(command: &mut Command, port: u16) -> &mut Command {
    command
        .env("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{port}"))
        .env("AWS_ALLOW_HTTP", "true")
        .env("AWS_ACCESS_KEY_ID", KEY)
        .env("AWS_SECRET_ACCESS_KEY", SECRET)
        .env("AWS_REGION", "us-east-1")
}

fn job(machine: &Machine, port: u16, line: &str) -> Job {
    let report = machine.path("report.json");
    let mut run = machine.larder_on("run", "s3://shop/cache", "private");
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
    let first = job(&machine, 5055, &line).saved().empty();
    let second = job(&machine, 5055, &line).saved().restored(&first);
    assert_eq!(second.cached(), 3, "{}", second.said);
    let mut ls = machine.larder("ls");
    ls.args(["--json", "--store", "s3://shop/cache", "--project", "shop"]);
    let listed = text(
        &with_credentials(&mut ls, 5055)
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
    let job = job(&machine, 5056, "docker info --format {{.Driver}}").empty();
    let took = started.elapsed();
    assert_eq!(job.code, 0, "{}", job.said);
    assert!(
        job.said.contains("overlay2\n") && job.said.contains("nothing saved"),
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

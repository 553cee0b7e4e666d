//! Options of a build that its commands run with: where they are part of a key, and what is said of them.

use std::collections::BTreeSet;

use larder_model::dockerfile::{BuildOptions, Sandbox, parse};
use larder_model::plan::Plan;
use larder_model::plan::diff::diff;
use larder_model::plan::key::Key;

const RUNS: &str = "FROM ruby\nRUN --mount=type=cache,target=/c x\n";

fn plan(file: &str, args: &[(&str, &str)], change: impl Fn(&mut Sandbox)) -> Plan {
    let mut options = BuildOptions::default();
    let args = args.iter();
    options.build_args = args
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    change(&mut options.sandbox);
    let parsed = parse(file.as_bytes()).expect("a Dockerfile");
    Plan::new(&parsed.bases(&options).expect("a build"), &options)
}

fn key(file: &str, args: &[(&str, &str)], change: impl Fn(&mut Sandbox)) -> String {
    Key::of(&plan(file, args, change)).text("p")
}

/// The key of [`RUNS`] with this option.
fn with(change: impl Fn(&mut Sandbox)) -> String {
    key(RUNS, &[], change)
}

#[test]
fn each_is_part_of_the_key() {
    let name = "BUILDKIT_SANDBOX_HOSTNAME";
    let limit = |limits: &'static str| {
        with(move |run| drop(run.ulimits.insert("nofile".to_owned(), limits.to_owned())))
    };
    let keys = [
        with(|_| ()),
        with(|run| run.network = Some("none".to_owned())),
        with(|run| run.network = Some("host".to_owned())),
        with(|run| run.hosts = vec!["proxy".to_owned()]),
        with(|run| run.hosts = vec!["proxy".to_owned(), "db".to_owned()]),
        limit("1:1"),
        limit("1:2"),
        with(|run| run.shm_bytes = Some(1 << 30)),
        with(|run| run.cgroup_parent = Some("ci".to_owned())),
        key(RUNS, &[(name, "a")], |_| ()),
        key(RUNS, &[(name, "b")], |_| ()),
        key(RUNS, &[("BUILDKIT_CACHE_MOUNT_NS", "a")], |_| ()),
        key(&format!("ARG SOURCE_DATE_EPOCH=1\n{RUNS}"), &[], |_| ()),
        key(&format!("ARG SOURCE_DATE_EPOCH=2\n{RUNS}"), &[], |_| ()),
        key(RUNS, &[("SOURCE_DATE_EPOCH", "3")], |_| ()),
    ];
    let different: BTreeSet<&String> = keys.iter().collect();
    assert_eq!(different.len(), keys.len());
    assert_eq!(key(RUNS, &[(name, "")], |_| ()), keys[0]);
    assert_eq!(key(RUNS, &[("SOURCE_DATE_EPOCH", "03")], |_| ()), keys[14]);
    // One that BuildKit reads and no step depends on.
    assert_eq!(
        key(RUNS, &[("BUILDKIT_INLINE_CACHE", "1")], |_| ()),
        keys[0]
    );
}

#[test]
fn they_count_where_a_command_is_run() {
    let host = |run: &mut Sandbox| run.network = Some("host".to_owned());
    let copies = "FROM ruby\nCOPY a b\nFROM ruby AS unreached\nRUN x\nFROM ruby\nCOPY a b\n";
    let name = [("BUILDKIT_SANDBOX_HOSTNAME", "a")];
    assert_eq!(key(copies, &name, host), key(copies, &[], |_| ()));
    // Cache mounts are told apart only where there are any.
    let secret = "FROM ruby\nRUN --mount=type=secret,id=cache x\n";
    let namespace = [("BUILDKIT_CACHE_MOUNT_NS", "a")];
    assert_eq!(key(secret, &namespace, |_| ()), key(secret, &[], |_| ()));
    let found = diff(&plan(RUNS, &[], |_| ()), &plan(RUNS, &name, host));
    let said: Vec<String> = found.changes.iter().map(ToString::to_string).collect();
    let expected = [
        "option --network was added, used by stage-0",
        "option BUILDKIT_SANDBOX_HOSTNAME was added, used by stage-0",
    ];
    assert_eq!(said, expected);
    assert_eq!(found.rebuilt[0].from_line, 2);
}

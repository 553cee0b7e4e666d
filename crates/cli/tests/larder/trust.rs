//! Whose state a job uses is not for its commit to say.

use std::fs;

use serde_json::Value;

use crate::kit::{Store, text};
use crate::machine::Machine;

const FILE: &str = "job = \"mine\"\nstore = \"cache\"\nstate = \"st\"\nscope = \"branch/main\"\nproject = \"other\"\n";

#[test]
fn a_pull_requests_file_takes_neither_store_nor_scope() {
    let (store, machine) = (Store::new(), Machine::new());
    let (repo, report) = (machine.path("repo"), machine.path("report.json"));
    fs::create_dir_all(repo.join(".git")).expect("made");
    fs::write(repo.join(".git/HEAD"), "ref: refs/heads/main\n").expect("written");
    fs::write(repo.join("larder.toml"), FILE).expect("written");
    let mut command = machine.command("sh");
    command.args(["-c", "cd $0 && exec ../larder run --engine private --state ../state --json ../report.json -- true"]);
    command.arg(&repo);
    for (name, value) in [
        ("LARDER_STORE", store.url().as_str()),
        ("GITHUB_ACTIONS", "true"),
        ("GITHUB_EVENT_NAME", "pull_request"),
        ("GITHUB_REF", "refs/pull/7/merge"),
        ("GITHUB_HEAD_REF", "main"),
        ("GITHUB_REPOSITORY", "shop/web"),
        ("GITHUB_JOB", "build"),
    ] {
        command.env(name, value);
    }
    let output = command.output().expect("larder starts");
    let said = text(&output);
    assert!(output.status.success(), "{said}");
    assert!(
        said.contains("store, state, project, scope;") && said.contains("--config"),
        "{said}"
    );
    let report: Value = serde_json::from_slice(&fs::read(report).expect("a report")).expect("JSON");
    assert_eq!(
        said.matches("store, state, project, scope;").count(),
        1,
        "{said}"
    );
    assert_eq!(report["lineage"]["scope"], "pull/7", "{said}");
    assert_eq!(report["lineage"]["project"], "github.com/shop/web");
    assert_eq!(report["lineage"]["job"], "mine");
    assert_eq!(
        store.objects("pull=2f7").len(),
        1,
        "it is saved where it belongs"
    );
    assert!(!repo.join("cache").exists() && !repo.join("st").exists());
    machine.assert_untouched();
}

#[test]
fn legs_of_one_name_are_told_to_have_names_of_their_own() {
    let (store, machine) = (Store::new(), Machine::new());
    let [larder, state] = ["larder", "other"].map(|name| machine.path(name).display().to_string());
    // Another leg starts, saves and ends while this one runs.
    let other = format!(
        "{larder} run -q --engine private --state {state} --store {} --project shop -- true",
        store.url()
    );
    let told = "legs of a matrix, name each: LARDER_LEG=NAME";
    let long = machine.job(&store.url(), &["-q"], &other).saved();
    assert_eq!(long.report["saved"]["sibling"], true, "{}", long.said);
    assert!(long.said.contains(told), "{}", long.said);
    let next = machine.job(&store.url(), &["-q"], "true").restored(&long);
    assert!(next.said.contains(told), "{}", next.said);
    // A leg that has a name, and no snapshot of its own yet, starts from the newest of all.
    let mut named = machine.larder_on("run", &store.url(), "private");
    named.args(["-q", "--", "true"]).env("LARDER_LEG", "3");
    let named = text(&named.output().expect("larder starts"));
    assert!(!named.contains(told), "{named}");
    let of_leg = store.objects("default=2f3");
    assert_eq!(of_leg.len(), 1, "it has a line of its own: {named}");
    machine.assert_untouched();
}

/// Who may write to the store and has no key can neither forge a snapshot nor hide one.
#[test]
fn only_what_is_signed_is_restored() {
    let (store, machine) = (Store::new(), Machine::new());
    let larder = machine.path("larder").display().to_string();
    let key = machine.path("larder.key").display().to_string();
    let made = machine.run(&larder, &["keygen", &key]);
    let public = machine.run(&larder, &["keygen", "--public", &key]);
    assert_eq!(made, public);
    let mut again = machine.command(&larder);
    let again = again.args(["keygen", &key]).output().expect("it starts");
    assert_eq!(again.status.code(), Some(2), "a key is never overwritten");

    let trusting = ["--trust", public.trim()];
    let signing = ["--trust", public.trim(), "--sign-key", &key];
    let honest = machine.job(&store.url(), &signing, "true").saved();
    let forged = machine.job(&store.url(), &[], "true").restored(&honest);
    let next = machine
        .job(&store.url(), &trusting, "true")
        .restored(&honest);
    assert!(
        forged.report["saved"]["snapshot"].is_string() && next.said.contains("it is not signed"),
        "{}",
        next.said
    );
    machine.assert_untouched();
}

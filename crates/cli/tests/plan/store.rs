//! The verbs that look after a store.

use std::fs;
use std::path::PathBuf;

use larder_model::address;
use larder_model::lineage::Lineage;
use larder_model::map::MapRoot;
use larder_model::snapshot::{EngineRecord, Snapshot};
use larder_store::{Location, catalog};
use serde_json::Value;

use crate::kit::{Project, Said};

/// A project, and snapshots of it: two of main, one of a pull request.
fn project() -> (Project, PathBuf) {
    let project = Project::new(&[]);
    let folder = project.path().join("../home/store");
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    runtime.block_on(async {
        let objects = Location::folder(&folder).open(&[]).expect("a store");
        let now_ms = larder_local::clock::now_ms();
        for (scope, gib) in [("branch/main", 1), ("branch/main", 2), ("pull/7", 3)] {
            let (map, bytes) = MapRoot::empty(gib << 30).expect("a size").encode();
            objects
                .put(&address::map(map), bytes)
                .await
                .expect("stored");
            let document = Snapshot::first(
                Lineage {
                    project: "shop".into(),
                    compatibility: "linux-x86_64-overlay2-docker26".into(),
                    scope: scope.into(),
                    job: "build".into(),
                },
                now_ms - 10_000 + gib,
                map,
                gib << 30,
                EngineRecord::docker("26.1.5", "overlay2"),
            );
            catalog::publish(&objects, &document)
                .await
                .expect("published");
        }
    });
    (project, folder)
}

fn larder(project: &Project, words: &[&str]) -> Said {
    let mut command = project.command();
    command.args(words).args(["--project", "shop"]);
    Said::of(&command.output().expect("larder starts"))
}

fn json(said: &Said) -> Value {
    serde_json::from_str(&said.out)
        .unwrap_or_else(|error| panic!("{error}: {}{}", said.out, said.error))
}

fn scopes(project: &Project) -> Vec<String> {
    let listed = json(&larder(project, &["ls", "--json"]));
    let all = listed.as_array().expect("a list").iter();
    all.map(|one| {
        one["lineage"]["scope"]
            .as_str()
            .expect("a scope")
            .to_owned()
    })
    .collect()
}

#[test]
fn a_store_is_listed_promoted_copied_and_cleared() {
    let (project, _) = project();
    assert_eq!(scopes(&project), ["pull/7", "branch/main", "branch/main"]);
    let one = larder(&project, &["ls", "-n", "1"]);
    assert!(
        one.out.contains("pull/7") && !one.out.contains("main"),
        "{}",
        one.out
    );
    assert!(
        one.error.contains("1 of 3 snapshots in 2 lineages"),
        "{}",
        one.error
    );
    let own = larder(
        &project,
        &[
            "ls",
            "--lineage",
            "--job",
            "build",
            "--scope",
            "branch/main",
        ],
    );
    assert_eq!(
        (own.out.matches("build @ branch/main").count(), own.code),
        (2, 0),
        "{}",
        own.out
    );

    let promoted = larder(&project, &["promote", "pull/7", "main"]);
    assert!(
        promoted.out.contains("branch/main"),
        "{}{}",
        promoted.out,
        promoted.error
    );
    assert_eq!(scopes(&project)[0], "branch/main");
    let nothing = larder(&project, &["promote", "pull/8", "main"]);
    assert_eq!(nothing.code, 2, "{}", nothing.error);

    let copied = larder(&project, &["cp", "../other", "--scope", "main", "--json"]);
    assert_eq!(
        json(&copied)["documents"].as_array().map(Vec::len),
        Some(1),
        "{}",
        copied.out
    );
    let mut there = project.command();
    there.args(["ls", "--json", "--project", "shop", "--store", "../other"]);
    assert_eq!(
        json(&Said::of(&there.output().expect("larder starts")))
            .as_array()
            .map(Vec::len),
        Some(1)
    );

    assert_eq!(larder(&project, &["rm"]).code, 2);
    assert_eq!(larder(&project, &["rm", "000000000000"]).code, 2);
    let dry = larder(&project, &["rm", "--scope", "pull/7", "--dry-run"]);
    assert!(dry.out.contains("would be removed"), "{}", dry.out);
    assert_eq!(scopes(&project).len(), 4);
    assert_eq!(larder(&project, &["rm", "--scope", "pull/7"]).code, 0);
    assert_eq!(scopes(&project).len(), 3);
}

#[test]
fn garbage_is_told() {
    let (project, _) = project();
    let alive = project.path().join("alive");
    fs::write(&alive, "").expect("a file");
    let refused = larder(&project, &["gc", "--scopes-alive", "alive"]);
    assert!(
        refused.code == 2 && refused.error.contains("names no scope"),
        "{}",
        refused.error
    );
    fs::write(&alive, "main\n").expect("a file");
    let words = [
        "gc",
        "--keep-last",
        "1",
        "--scopes-alive",
        "alive",
        "--grace",
        "0s",
    ];
    let dry = larder(&project, &[&words[..], &["--dry-run"]].concat());
    assert!(
        dry.out.contains("would be removed 2 documents"),
        "{}",
        dry.out
    );
    assert_eq!(larder(&project, &["verify", "--data"]).code, 0);
    let done = larder(&project, &[&words[..], &["--json"]].concat());
    assert_eq!(
        json(&done)["gone"].as_array().map(Vec::len),
        Some(2),
        "{}",
        done.out
    );
    let again = json(&larder(&project, &[&words[..], &["--json"]].concat()));
    assert_eq!(
        (&again["removed"]["objects"], &again["kept"]["objects"]),
        (&2.into(), &1.into()),
        "{again}"
    );
    for (option, value) in [
        ("--grace", "soon"),
        ("--max-bytes", "much"),
        ("--older-than", "old"),
    ] {
        let wrong = larder(&project, &["gc", option, value]);
        assert!(
            wrong.code == 2 && wrong.error.contains(option),
            "{}",
            wrong.error
        );
    }
}

#[test]
fn damage_is_told_and_dropped() {
    let (project, folder) = project();
    let map = fs::read_dir(folder.join("v1/maps"))
        .expect("maps")
        .next()
        .expect("one")
        .expect("an entry");
    fs::write(map.path(), "rubbish").expect("written");
    let held = larder(&project, &["gc"]);
    assert!(held.error.contains("verify --repair"), "{}", held.error);
    let found = larder(&project, &["verify"]);
    assert!(
        found.code == 1 && found.out.contains("lost: "),
        "{}{}",
        found.out,
        found.error
    );
    assert_eq!(larder(&project, &["verify", "--repair"]).code, 1);
    let sound = larder(&project, &["verify"]);
    assert!(
        sound.code == 0 && sound.out.contains("sound: 2 documents"),
        "{}",
        sound.out
    );
}

#[test]
fn what_is_said_of_collecting_is_looked_at_before_the_job() {
    let (project, _) = project();
    let wrong = larder(&project, &["down", "--gc", "often"]);
    assert!(
        wrong.code == 2 && wrong.error.contains("auto, off"),
        "{}",
        wrong.error
    );
    let mut command = project.command();
    command.args(["down"]).env("LARDER_GC", "often");
    assert_eq!(Said::of(&command.output().expect("larder starts")).code, 2);
}

//! What a project's machines remember together, in its store.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::kit::{Project, Registry, Said};

const TIME: &str = "2026-01-01T00:00:00Z";

/// A project that is built on machines which share nothing but a store.
struct Machines {
    registry: Registry,
    project: Project,
    store: TempDir,
}

/// One of them.
struct Machine<'a> {
    all: &'a Machines,
    home: TempDir,
}

impl Machines {
    fn new() -> Self {
        let registry = Registry::start();
        let host = &registry.host;
        let trigger = format!("COPY --from={host}/tools:1 /a /a");
        registry.push_image("app", "1", &json!({ "OnBuild": [trigger] }), TIME);
        registry.push_image("tools", "1", &json!({ "Env": ["T=1"] }), TIME);
        let text = format!("FROM {host}/app:1\nRUN true\n");
        Self {
            project: Project::new(&[("Dockerfile", &text)]),
            registry,
            store: tempfile::tempdir().expect("a folder"),
        }
    }

    fn another(&self) -> Machine<'_> {
        let home = tempfile::tempdir().expect("a folder");
        Machine { all: self, home }
    }

    /// What the store remembers, oldest first.
    fn lists(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        find(&self.store.path().join("v1/images"), &mut found);
        found.sort();
        found.reverse();
        found
    }
}

fn find(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            find(&path, found);
        } else {
            found.push(path);
        }
    }
}

impl Machine<'_> {
    fn run(&self, arguments: &[&str]) -> Said {
        let mut command = self.all.project.command();
        command.env("HOME", self.home.path());
        command.env("LARDER_STORE", self.all.store.path());
        let output = command.args(arguments).output();
        Said::of(&output.expect("larder starts"))
    }

    /// The plan, and what the registry was asked for it.
    fn plan(&self) -> (Value, Vec<String>) {
        let before = self.all.registry.requests(0).len();
        let plan = self.run(&["plan", "--json"]).done();
        let requests = self.all.registry.requests(before);
        (serde_json::from_str(&plan).expect("JSON"), requests)
    }
}

fn heads() -> [String; 2] {
    ["app", "tools"].map(|name| format!("HEAD /v2/{name}/manifests/1"))
}

#[test]
fn another_machine_asks_whether_tags_moved_and_nothing_else() {
    let machines = Machines::new();
    let (first, asked) = machines.another().plan();
    assert_eq!(
        asked.len(),
        4,
        "two manifests, two configurations: {asked:?}"
    );
    assert_eq!(machines.lists().len(), 1);
    let second = machines.another();
    let (plan, asked) = second.plan();
    assert_eq!(asked, heads());
    assert_eq!(
        plan["images"][1]["identity"],
        first["images"][1]["identity"]
    );
    assert_eq!(plan["key"], first["key"]);
    assert_eq!(second.run(&["key"]).done().trim(), first["key"]);
    assert_eq!(machines.lists().len(), 1, "there was nothing new");
}

#[test]
fn a_tag_that_moves_is_fetched_once_for_all_machines() {
    let machines = Machines::new();
    let old = machines.another();
    old.plan();
    let config = json!({ "Env": ["T=2"] });
    machines.registry.push_image("tools", "1", &config, TIME);
    let (moved, asked) = old.plan();
    assert_eq!(
        asked.len(),
        4,
        "one manifest and one configuration: {asked:?}"
    );
    assert_eq!(machines.lists().len(), 2);
    let (plan, asked) = machines.another().plan();
    assert_eq!(asked, heads());
    assert_eq!(plan["key"], moved["key"]);
}

#[test]
fn what_a_store_says_is_not_believed() {
    let machines = Machines::new();
    let (first, _) = machines.another().plan();
    let list = machines.lists().pop().expect("a list");
    let bytes = fs::read(&list).expect("read");
    // A list that is whole, but whose configuration is another: a later one, under its own id.
    let mut forged = bytes.clone();
    let place = bytes.windows(3).position(|part| part == b"T=1");
    forged[place.expect("it is there") + 2] = b'9';
    let id = blake3::hash(&forged);
    let folder = list.parent().expect("a folder");
    // Names count down to a time far ahead; one that is ahead of the clock would not be looked at.
    let name = list.file_name().and_then(|name| name.to_str());
    let (time, _) = name
        .and_then(|name| name.split_once('-'))
        .expect("a time and an id");
    let time = u64::from_str_radix(time, 16).expect("a number") - 1;
    fs::write(folder.join(format!("{time:016x}-{id}")), &forged).expect("written");
    let (plan, asked) = machines.another().plan();
    assert_eq!(
        plan["images"][1]["identity"],
        first["images"][1]["identity"]
    );
    let expected = "GET /v2/tools/blobs/sha256";
    assert!(
        asked.iter().any(|ask| ask.starts_with(expected)),
        "{asked:?}"
    );
}

#[test]
fn a_store_that_cannot_be_read_is_a_miss() {
    let machines = Machines::new();
    let (first, _) = machines.another().plan();
    for list in machines.lists() {
        fs::write(list, b"LARDERIM").expect("written");
    }
    let (plan, asked) = machines.another().plan();
    assert_eq!(asked.len(), 4, "{asked:?}");
    assert_eq!(plan["key"], first["key"]);
    assert_eq!(machines.another().plan().1, heads(), "it is written anew");
    fs::remove_dir_all(machines.store.path()).expect("removed");
    fs::write(machines.store.path(), b"a file").expect("written");
    assert_eq!(machines.another().plan().0["key"], first["key"]);
    fs::remove_file(machines.store.path()).expect("removed");
}

#[test]
fn a_store_that_nobody_named_is_left_alone() {
    let machines = Machines::new();
    let home = tempfile::tempdir().expect("a folder");
    let mut command = machines.project.command();
    command.env("HOME", home.path()).env_remove("LARDER_STORE");
    let output = command.args(["plan", "--json"]).output();
    Said::of(&output.expect("larder starts")).done();
    let cache = home.path().join(".cache");
    assert!(cache.join("larder-images").is_dir());
    assert!(!cache.join("larder").exists());
}

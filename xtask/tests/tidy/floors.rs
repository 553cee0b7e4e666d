//! What crates and the model may depend on.

use std::fs;

use crate::source::{Text, none, root, rust_files};

/// Each crate's floor; one may depend only on those of lower floors.
pub(crate) const FLOORS: [(&str, u8); 22] = [
    ("model", 1),
    ("secrets", 1),
    ("local", 1),
    ("tls", 1),
    ("github", 1),
    ("ci", 2),
    ("docker", 2),
    ("builds", 2),
    ("objects", 2),
    ("registry", 2),
    ("store", 3),
    ("engine", 3),
    ("buildkit", 4),
    ("volume", 4),
    ("podman", 4),
    ("bases", 4),
    ("upkeep", 4),
    ("session", 5),
    ("archive", 5),
    ("page", 6),
    ("settings", 6),
    ("cli", 7),
];

/// What the values and rules in `model` may be made of.
const MODEL_DEPENDENCIES: [&str; 5] = ["blake3", "bytes", "serde", "serde_json", "thiserror"];

/// What `model` must not name: input and output, clocks, threads, the environment, async.
const NOT_IN_MODEL: [&str; 14] = [
    "std::{",
    "std::env",
    "std::fs",
    "std::io",
    "std::os",
    "std::process",
    "std::thread",
    "std::time",
    "TcpListener",
    "TcpStream",
    "ToSocketAddrs",
    "UdpSocket",
    "async ",
    ".await",
];

/// The dependencies that a manifest names, those of tests included.
fn dependencies(manifest: &Text) -> Vec<&str> {
    let mut names = Vec::new();
    let mut wanted = false;
    for line in manifest.content.lines() {
        if line.starts_with('[') {
            wanted = line.ends_with("dependencies]");
        } else if let (true, Some((name, _))) = (wanted, line.split_once(['.', '=', ' '])) {
            names.push(name);
        }
    }
    names
}

#[test]
fn crates_depend_on_lower_floors_only() {
    let mut wrong = Vec::new();
    for entry in fs::read_dir(root().join("crates")).expect("the crates") {
        let name = entry
            .expect("an entry")
            .file_name()
            .to_string_lossy()
            .into_owned();
        let floor = |name: &str| {
            FLOORS
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, at)| *at)
        };
        let Some(own) = floor(&name) else {
            wrong.push(format!("crates/{name} has no floor; give it one in FLOORS"));
            continue;
        };
        let manifest = Text::read(&format!("crates/{name}/Cargo.toml"));
        for dependency in dependencies(&manifest) {
            let below = dependency
                .strip_prefix("larder-")
                .is_none_or(|crate_name| floor(crate_name).is_some_and(|floor| floor < own));
            if !below {
                wrong.push(format!(
                    "crates/{name} depends on {dependency}, which is not below it"
                ));
            }
            if dependency == "object_store" && !matches!(&*name, "objects" | "github") {
                wrong.push(format!(
                    "crates/{name} depends on {dependency}; only objects and github may"
                ));
            }
        }
    }
    none("the floors are crossed", &wrong);
}

#[test]
fn the_model_is_values_and_rules() {
    let manifest = Text::read("crates/model/Cargo.toml");
    let (own, _) = manifest
        .content
        .split_once("[dev-dependencies]")
        .expect("it has tests");
    let own = Text {
        path: manifest.path.clone(),
        content: own.to_owned(),
    };
    let others = dependencies(&own)
        .into_iter()
        .filter(|name| !MODEL_DEPENDENCIES.contains(name));
    let others: Vec<_> = others.map(str::to_owned).collect();
    none("the model depends on more than it may", &others);
    let named = rust_files("crates/model/src");
    let named: Vec<_> = named
        .iter()
        .flat_map(|file| file.naming(&NOT_IN_MODEL))
        .collect();
    none("the model does more than hold values and rules", &named);
}

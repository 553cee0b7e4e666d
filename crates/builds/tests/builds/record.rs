//! Every compose and bake file of the tree, beside what `docker compose config` and `docker buildx bake
//! --print` say of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use larder_builds::{Build, Draft, host_platform};
use larder_model::dockerfile::NamedContext;
use serde_json::Value;

use crate::kit::{Project, cases, of};

/// What decides one build.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Facts {
    name: String,
    platforms: BTreeSet<String>,
    target: Option<String>,
    args: BTreeMap<String, String>,
    contexts: BTreeMap<String, String>,
    is_inline: bool,
}

/// Folders with compose or bake files; files named by a number are read together, in their order.
fn folders() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut found = Vec::new();
    find(&root.join("examples"), &mut found);
    find(&cases(), &mut found);
    assert!(found.len() >= 30, "{found:?}");
    found
}

fn find(folder: &Path, found: &mut Vec<PathBuf>) {
    if is_bake(folder) || is_compose(folder) {
        found.push(folder.to_owned());
    }
    for entry in fs::read_dir(folder).expect("listed") {
        let path = entry.expect("an entry").path();
        if path.is_dir() && !path.ends_with("node_modules") {
            find(&path, found);
        }
    }
}

fn has(folder: &Path, name: impl Fn(&str) -> bool) -> bool {
    let entries = fs::read_dir(folder).expect("listed");
    let mut names = entries.map(|entry| entry.expect("an entry").file_name());
    names.any(|own| name(&own.to_string_lossy()))
}

fn is_compose(folder: &Path) -> bool {
    has(folder, |name| {
        name.contains("compose.") && !name.contains("override")
    })
}

fn is_bake(folder: &Path) -> bool {
    has(folder, |name| name.starts_with("docker-bake.")) || !numbered(folder).is_empty()
}

fn numbered(folder: &Path) -> Vec<&'static str> {
    let usual = ["1.hcl", "1.json", "2.hcl", "2.json"];
    let there = usual.into_iter().filter(|name| folder.join(name).exists());
    there.collect()
}

fn project(folder: &Path) -> Project {
    let mut project = Project::copied(folder);
    for (name, value) in [
        ("EMPTY", ""),
        ("TAG", "3.4"),
        ("DEBUG", "1"),
        ("COUNT", "7"),
        ("RATIO", "1.5"),
    ] {
        project.set(name, value);
    }
    project
}

#[test]
fn plans_are_made_of_what_bake_says() {
    for folder in folders().into_iter().filter(|folder| is_bake(folder)) {
        let project = project(&folder);
        let mut files = numbered(&folder);
        let mut arguments = vec!["buildx", "bake", "--print"];
        arguments.extend(files.iter().flat_map(|name| ["-f", *name]));
        let answer = project.tool(&arguments);
        complete(&project, answer["target"].as_object().into_iter().flatten());
        // A Dockerfile beside them is what the folder means otherwise.
        if files.is_empty() && project.path().join("Dockerfile").exists() {
            let usual = ["docker-bake.hcl", "docker-bake.json"];
            files.extend(usual.iter().filter(|name| folder.join(name).exists()));
        }
        compare(&folder, &project, &of(&files), &of_bake(&answer));
        // What the tool wrote is the same without it.
        project.write("resolved.json", &answer.to_string());
        let resolved = of(&["resolved.json"]);
        compare(&folder, &project, &resolved, &of_bake(&answer));
    }
}

#[test]
fn plans_are_made_of_what_compose_says() {
    for folder in folders().into_iter().filter(|folder| is_compose(folder)) {
        let project = project(&folder);
        let answer = project.tool(&["compose", "config", "--format", "json"]);
        let mut build = Build::default();
        if is_bake(&folder) {
            // By an option that only compose has, compose is meant.
            project.write("empty.env", "");
            build.env_files = vec!["empty.env".into()];
        }
        compare(&folder, &project, &build, &of_compose(&answer));
        project.write("resolved.json", &answer.to_string());
        let resolved = of(&["resolved.json"]);
        compare(&folder, &project, &resolved, &of_compose(&answer));
    }
}

/// Writes the Dockerfiles that targets name and that the case does not have.
fn complete<'a>(project: &Project, targets: impl Iterator<Item = (&'a String, &'a Value)>) {
    let mut texts: BTreeMap<PathBuf, String> = BTreeMap::new();
    for (_, target) in targets {
        let text = |key: &str| target[key].as_str();
        let context = text("context").unwrap_or(".").trim_start_matches("cwd://");
        let file = Path::new(context).join(text("dockerfile").unwrap_or("Dockerfile"));
        let lower = file.with_file_name("dockerfile");
        let is_there = |file: &Path| project.path().join(file).exists();
        if target.get("dockerfile-inline").is_none() && !is_there(&file) && !is_there(&lower) {
            let stages = texts
                .entry(file)
                .or_insert_with(|| "FROM scratch\n".to_owned());
            if let Some(stage) = text("target") {
                stages.extend(["FROM scratch AS ", stage, "\n"]);
            }
        }
    }
    for (file, text) in texts {
        project.write(file.to_str().expect("text"), &text);
    }
}

fn compare(folder: &Path, project: &Project, build: &Build, expected: &BTreeSet<Facts>) {
    let drafts = project.drafts(build);
    let drafts = drafts.unwrap_or_else(|fault| panic!("{}: {fault}", folder.display()));
    let found = facts(&drafts);
    assert_eq!(found, *expected, "{} {build:?}", folder.display());
}

fn facts(drafts: &[Draft]) -> BTreeSet<Facts> {
    let mut all: BTreeMap<String, Facts> = BTreeMap::new();
    for draft in drafts {
        let name = draft.name.clone().expect("a name");
        let options = &draft.options;
        let contexts = options.contexts.iter();
        let contexts = contexts.map(|(name, context)| {
            let value = match context {
                NamedContext::Image(image) => format!("docker-image://{image}"),
                NamedContext::Target(target) => format!("target:{target}"),
                NamedContext::Other(other) => other.clone(),
            };
            (name.clone(), value)
        });
        let one = all.entry(name.clone()).or_insert_with(|| Facts {
            target: options.target.clone(),
            args: options.build_args.clone(),
            contexts: contexts.collect(),
            platforms: BTreeSet::new(),
            is_inline: draft.file.ends_with(&format!("#{name}")),
            name,
        });
        one.platforms.insert(options.platform().to_string());
    }
    all.into_values().collect()
}

fn map(value: &Value, plain: impl Fn(&str) -> String) -> BTreeMap<String, String> {
    let pairs = value.as_object().into_iter().flatten();
    let pairs = pairs.filter_map(|(key, value)| Some((key.clone(), plain(value.as_str()?))));
    pairs.collect()
}

fn list(value: &Value) -> Vec<String> {
    let texts = value.as_array().into_iter().flatten();
    texts
        .map(|text| text.as_str().expect("a text").to_owned())
        .collect()
}

fn platforms(listed: &[String]) -> BTreeSet<String> {
    let host = || host_platform().to_string();
    let listed = listed.iter().flat_map(|text| text.split(','));
    let all: BTreeSet<String> = listed
        .map(|text| {
            if text == "local" {
                host()
            } else {
                text.to_owned()
            }
        })
        .collect();
    if all.is_empty() { [host()].into() } else { all }
}

fn of_bake(answer: &Value) -> BTreeSet<Facts> {
    let plain = |text: &str| text.replace("$${", "${").replace("%%{", "%{");
    let targets = answer["target"].as_object().into_iter().flatten();
    targets
        .map(|(name, target)| Facts {
            name: name.clone(),
            platforms: platforms(&list(&target["platforms"])),
            target: target["target"].as_str().map(str::to_owned),
            args: map(&target["args"], plain),
            contexts: map(&target["contexts"], plain),
            is_inline: target.get("dockerfile-inline").is_some(),
        })
        .collect()
}

fn of_compose(answer: &Value) -> BTreeSet<Facts> {
    let plain = |text: &str| text.replace("$$", "$");
    let services = answer["services"].as_object().into_iter().flatten();
    let built = services.filter(|(_, service)| service["build"].is_object());
    built
        .map(|(name, service)| {
            let inner = &service["build"];
            let own = service["platform"].as_str().map(str::to_owned);
            let mut listed = list(&inner["platforms"]);
            if listed.is_empty() {
                listed.extend(own);
            }
            Facts {
                name: name.clone(),
                platforms: platforms(&listed),
                target: inner["target"].as_str().map(str::to_owned),
                args: map(&inner["args"], plain),
                contexts: map(&inner["additional_contexts"], plain),
                is_inline: inner.get("dockerfile_inline").is_some(),
            }
        })
        .collect()
}

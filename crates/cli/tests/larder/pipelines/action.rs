//! The action, as GitHub's runner calls it: inputs in the environment, files for what it says, `main` and `post`.

use std::fs;

use super::player::{Player, yaml};
use super::systems::GITHUB;
use crate::kit::Store;

/// The repository, as the runner lays out an action's.
const ACTION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
/// The runner's files.
const FILES: [&str; 5] = [
    "GITHUB_ENV",
    "GITHUB_PATH",
    "GITHUB_STATE",
    "GITHUB_OUTPUT",
    "GITHUB_STEP_SUMMARY",
];

/// A runner with files, a folder and the action's inputs: those that are given, and the defaults.
fn runner(store: &Store, inputs: &[(&str, &str)]) -> Player {
    let mut player = Player::new(GITHUB, store);
    let temporary = player.checkout.with_file_name("temporary");
    fs::create_dir(&temporary).expect("made");
    for name in FILES {
        let path = player.file(name).display().to_string();
        player.environment.insert(name.to_owned(), path);
    }
    player.give(&temporary);
    let folder = temporary.display().to_string();
    player.environment.insert("RUNNER_TEMP".to_owned(), folder);
    let action = yaml(format!("{ACTION}/action.yml").as_ref());
    for (name, input) in action["inputs"].as_object().expect("inputs") {
        let value = input["default"].as_str().unwrap_or_default();
        let value = player.filled(value);
        player.input(name, &value);
    }
    for (name, value) in inputs {
        player.input(name, value);
    }
    player
}

impl Player {
    fn input(&mut self, name: &str, value: &str) {
        let name = format!("INPUT_{}", name.to_uppercase());
        self.environment.insert(name, value.to_owned());
    }

    fn told(&self, name: &str) -> String {
        fs::read_to_string(&self.environment[name]).expect("read")
    }

    /// Runs a part of the action as its metadata names it, and takes what it told the runner.
    #[track_caller]
    fn part(&mut self, part: &str, succeeds: bool) -> String {
        let action = yaml(format!("{ACTION}/action.yml").as_ref());
        let script = action["runs"][part].as_str().expect("a script").to_owned();
        let script = self.of_larder(&script).display().to_string();
        let said = self.run(&["node"], &script, succeeds);
        let file = self.environment["GITHUB_ENV"].clone();
        self.take(file.as_ref());
        for folder in self.told("GITHUB_PATH").lines() {
            let path = format!("{folder}:{}", self.environment["PATH"]);
            self.environment.insert("PATH".to_owned(), path);
        }
        // Of the state only `post` is told.
        for line in self.told("GITHUB_STATE").lines() {
            let (name, value) = line.split_once('=').expect("NAME=VALUE");
            let name = format!("STATE_{name}");
            self.environment.insert(name, value.to_owned());
        }
        said
    }
}

#[test]
fn two_jobs_of_an_action_and_the_second_hits() {
    let store = Store::new();
    for is_first in [true, false] {
        let inputs = [
            ("store", &*store.url()),
            ("strict", "true"),
            ("leg", r#"{"node":22}"#),
        ];
        let mut player = runner(&store, &inputs);
        player.part("main", true);
        let restored = player.told("GITHUB_OUTPUT");
        assert_eq!(restored == "restored=\n", is_first, "{restored}");
        // The job fails; what it did is saved all the same.
        let build = player.run(
            &["bash", "-ec"],
            "docker build --progress plain . ; exit 1",
            false,
        );
        assert_eq!(build.contains(" CACHED\n"), !is_first, "{build}");
        let said = player.part("post", true);
        assert!(
            said.contains("saved ") && said.contains("/image/22 @ "),
            "{said}"
        );
        let summary = player.told("GITHUB_STEP_SUMMARY");
        let (builds, net) = if is_first {
            ("| builds | 0 of ", "| net | nothing saved yet")
        } else {
            ("| builds | 3 of ", " on an empty engine the builds took ")
        };
        assert!(
            summary.contains(builds) && summary.contains(net),
            "{summary}"
        );
        player.ends_clean();
    }
}

#[test]
fn an_action_that_cannot_start_says_so_and_saves_nothing() {
    let store = Store::new();
    let mut player = runner(
        &store,
        &[("store", "ftp://nowhere"), ("keep-volumes", "maybe")],
    );
    let said = player.part("main", false);
    assert!(
        said.contains("::error::keep-volumes: \"maybe\" is neither"),
        "{said}"
    );
    player.input("keep-volumes", "false");
    let said = player.part("main", false);
    assert!(said.contains("::error::larder up ended with 2"), "{said}");
    assert_eq!(player.part("post", true), "");
    player.ends_clean();
}

#[test]
fn the_inputs_are_the_options_of_up() {
    let help = std::process::Command::new(env!("CARGO_BIN_EXE_larder"))
        .args(["up", "--help"])
        .output();
    let help = String::from_utf8(help.expect("larder starts").stdout).expect("text");
    // What an option does stands further to the right, and may name other commands' options.
    let lines = help.lines().filter(|line| !line.starts_with("          "));
    let words = lines.filter_map(|line| {
        let words = line.trim_start().strip_prefix("--").or_else(|| {
            let (_, long) = line.trim_start().strip_prefix('-')?.split_once(", --")?;
            Some(long)
        })?;
        words.split([' ', '.', '[']).next().map(str::to_owned)
    });
    let of_the_steps = [
        "env-file",
        "no-context",
        "json",
        "foreground",
        "grace",
        "quiet",
        "verbose",
        "help",
    ];
    let options: std::collections::BTreeSet<String> = words
        .filter(|word| !of_the_steps.contains(&word.as_str()))
        .collect();
    let action = fs::read_to_string(format!("{ACTION}/action.yml")).expect("read");
    let (_, inputs) = action.split_once("\ninputs:\n").expect("inputs");
    let (inputs, _) = inputs.split_once("\noutputs:\n").expect("outputs");
    let names = inputs
        .lines()
        .filter_map(|line| line.strip_prefix("  ")?.strip_suffix(':'));
    let of_the_action = ["leg", "optional", "save", "url"];
    let inputs = names
        .filter(|name| !of_the_action.contains(name))
        .map(str::to_owned);
    assert_eq!(inputs.collect::<std::collections::BTreeSet<_>>(), options);
}

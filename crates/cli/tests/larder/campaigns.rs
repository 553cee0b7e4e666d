//! The campaigns of docs/RELIABILITY.md and docs/SECURITY.md, for some seconds each. They stand on machines of their own.

use std::path::Path;
use std::process::Command;

use crate::kit::text;

/// Runs one with the program that is tested; nothing of it may fail.
#[track_caller]
fn campaign(words: &str) -> String {
    let larder = Path::new(env!("CARGO_BIN_EXE_larder"));
    let xtask = larder.with_file_name("xtask");
    if !xtask.exists() {
        println!(
            "skipped: there is no {}; run `cargo xtask test`",
            xtask.display()
        );
        return String::new();
    }
    let mut command = Command::new(xtask);
    command.arg("campaign").args(words.split(' '));
    let output = command.arg("--larder").arg(larder).output();
    let output = output.expect("it starts");
    let said = text(&output);
    assert!(output.status.success(), "{words}: {said}");
    said
}

#[test]
fn kills() {
    campaign("kills --kills 2 --seed 7");
}

#[test]
fn faults() {
    campaign("faults --faults 6 --seed 7 --machines 1 --quick --dry-run");
}

#[test]
fn attacks() {
    campaign("attacks --attacks 8 --seed 7 --dry-run");
}

/// The last jobs of a line drop build cache, and make few more requests than the first ones all the same.
#[test]
fn growth() {
    let said = campaign("growth --store s3 --one-tag --span 4 --jobs 14 --layer 8");
    for (what, most) in [("requests: ", 1.4), ("bytes: ", 1.2)] {
        let Some(line) = said.lines().find_map(|line| line.strip_prefix(what)) else {
            assert!(said.is_empty(), "no {what}in {said}");
            return;
        };
        let ratio = line.split(' ').next().and_then(|ratio| ratio.parse().ok());
        assert!(ratio.is_some_and(|ratio: f64| ratio <= most), "{said}");
    }
}

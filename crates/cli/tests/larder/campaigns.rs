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

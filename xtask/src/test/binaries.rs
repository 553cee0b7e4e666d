//! The test programs that cargo builds.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use super::Args;
use crate::{cargo, process};

/// Crates whose tests are quick and need no engine, mount or network of their own. Each of their programs
/// runs whole; of the others each test has a process of its own.
const QUICK: [&str; 10] = [
    "bases", "builds", "ci", "docker", "local", "model", "registry", "secrets", "store", "xtask",
];

/// One test program.
pub(super) struct Binary {
    /// Its crate and target, say `engine/engine`.
    pub name: String,
    /// The program.
    pub path: PathBuf,
    /// Where it runs: its crate's folder, as under `cargo test`.
    pub folder: PathBuf,
    /// Whether it runs whole.
    pub whole: bool,
}

/// A line of `cargo test --no-run --message-format json` (the Cargo book, "External tools").
#[derive(Deserialize)]
struct Message {
    manifest_path: Option<PathBuf>,
    target: Option<Target>,
    profile: Option<Profile>,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

#[derive(Deserialize)]
struct Profile {
    test: bool,
}

/// Builds the test programs that are asked for.
pub(super) fn build(args: &Args) -> Result<Vec<Binary>> {
    let mut command = cargo::command("test");
    command.args(["--no-run", "--quiet"]);
    command.args(["--message-format", "json-render-diagnostics"]);
    if args.package.is_empty() {
        command.arg("--workspace");
    }
    for package in &args.package {
        command.args(["--package", package]);
    }
    for test in &args.test {
        command.args(["--test", test]);
    }
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start cargo")?;
    ensure!(output.status.success(), "the tests do not build");
    let text = String::from_utf8_lossy(&output.stdout);
    let mut binaries = Vec::new();
    for line in text.lines() {
        let message = serde_json::from_str(line)
            .with_context(|| format!("cargo said what this task does not understand: {line}"))?;
        binaries.extend(binary(message));
    }
    // The long ones last to end begin first; cargo's order is the one in which they were built.
    binaries.sort_by(|a, b| (!a.whole, &a.name).cmp(&(!b.whole, &b.name)));
    Ok(binaries)
}

fn binary(message: Message) -> Option<Binary> {
    let (target, path) = (message.target?, message.executable?);
    if !message.profile?.test {
        return None;
    }
    let folder = message.manifest_path?.parent()?.to_owned();
    let own = folder.file_name()?.to_string_lossy().into_owned();
    Some(Binary {
        name: format!("{own}/{}", target.name),
        whole: runs_whole(&own, &target.kind),
        path,
        folder,
    })
}

/// Of `docker` only the tests beside the code are quick: those in `tests/` start engines.
fn runs_whole(own: &str, kind: &[String]) -> bool {
    let starts_engines = own == "docker" && kind.iter().any(|kind| kind == "test");
    QUICK.contains(&own) && !starts_engines
}

/// The tests of a program, by name, as far as they are asked for.
pub(super) fn tests(binary: &Binary, args: &Args, path: &Path) -> Result<Vec<String>> {
    let text = process::read(
        Command::new(&binary.path)
            .args(["--list", "--format", "terse"])
            .args(args.to_programs())
            .env("PATH", path),
    )?;
    let names = text.lines().filter_map(|line| line.strip_suffix(": test"));
    Ok(names.map(str::to_owned).collect())
}

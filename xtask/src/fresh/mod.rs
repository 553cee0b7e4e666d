//! `cargo xtask fresh`: the commands of the README on a machine that has nothing yet.
//!
//! The machine is a new root of Debian packages with namespaces of its own for mounts, processes and names. It is
//! lent what "with Rust installed" means (cargo's programs, toolchains and registry cache), the kernel's
//! devices, this machine's network, and the settings that say where packages come from; its home is empty.

mod root;

use anyhow::{Context, Result};
use rustix::fs::FlockOperation;

use crate::{engine, process, say, workplace};
use root::Root;

/// What Rust needs of a distribution: a C compiler, which links too.
const WITH_RUST: [&str; 2] = ["gcc", "libc6-dev"];

/// What `--quick` tests: each docker command against each engine.
const QUICK: [&str; 3] = ["--package", "larder-docker", "remote"];

/// Run `cargo xtask demo` and `cargo xtask test` in a new root made of Debian packages (root)
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only the set-up (`cargo xtask engine`) and a few tests that need all of it
    #[arg(long)]
    quick: bool,
    /// Only the set-up and the tests, not the demo
    #[arg(long, conflicts_with = "quick")]
    test: bool,
    /// Keeps the root
    #[arg(long)]
    keep: bool,
    /// Passed on to `cargo xtask test`
    #[arg(last = true)]
    more: Vec<String>,
}

/// Runs the task.
pub(crate) fn run(args: &Args) -> Result<()> {
    let machine = engine::ready()?;
    // The bridges of its engines are named after process ids, which there are others.
    let _alone = workplace::lock(&machine, FlockOperation::LockExclusive)?;
    let folder = tempfile::Builder::new()
        .prefix("fresh-")
        .tempdir_in(&machine.cache);
    let mut folder = folder.context("cannot make a folder for the new root")?;
    folder.disable_cleanup(args.keep);
    let root = say::timed("made a root of Debian packages", || {
        Root::create(folder.path(), &machine.base_tar)
    })?;
    say::timed(&format!("installed {}", WITH_RUST.join(", ")), || {
        process::run(&mut root.command(&["apt-get", "-qq", "update"]))?;
        let install = [
            "apt-get",
            "-qq",
            "install",
            "--yes",
            "--no-install-recommends",
        ];
        process::run(&mut root.command(&[&install[..], &WITH_RUST].concat()))
    })?;
    for command in commands(args) {
        let shown = format!("cargo xtask {}", command.join(" "));
        say::line(format!("\n== {shown}"));
        say::timed(&format!("== {shown}: done"), || {
            root.run(&[&["cargo", "xtask"][..], &command].concat())
        })?;
    }
    if args.keep {
        say::line(format!("kept: {}", folder.path().display()));
    }
    Ok(())
}

fn commands(args: &Args) -> Vec<Vec<&str>> {
    let mut test = vec!["test"];
    if args.quick && args.more.is_empty() {
        test.extend(QUICK);
    }
    test.extend(args.more.iter().map(String::as_str));
    let first = if args.quick || args.test {
        "engine"
    } else {
        "demo"
    };
    vec![vec![first], test]
}

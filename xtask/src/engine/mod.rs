//! `cargo xtask engine`: makes a bare Debian or Ubuntu machine ready for the tests, the demo and
//! the benchmarks: packages, a Docker engine and an older one, an S3 server and the demo's base image.

mod apt;
mod base;
mod distribution;
mod moto;
mod older;
mod packages;
mod programs;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use rustix::fs::FlockOperation;

use crate::workplace::lock_file;
use crate::{process, say};
pub use apt::versions;
use distribution::Distribution;
pub use programs::link as link_programs;

/// Make this machine ready for tests, demo and benchmarks (Debian 12/13 or Ubuntu, root)
#[derive(clap::Args)]
pub struct Args {
    /// Only show what is there; change nothing
    #[arg(long)]
    print: bool,
}

/// What the other tasks need to know of a ready machine.
pub struct Machine {
    /// The S3 server program.
    pub moto_server: PathBuf,
    /// Docker 20.10.24, unpacked: `usr/sbin/dockerd` and so on below.
    pub older_engine: PathBuf,
    /// The demo's base image as a root file system in a tar file, for `docker import`.
    pub base_tar: PathBuf,
    /// Where things that can be made again are kept.
    pub cache: PathBuf,
}

/// Runs the task.
pub fn run(args: &Args) -> Result<()> {
    if args.print {
        print()
    } else {
        ready().map(drop)
    }
}

/// Makes the machine ready: says one line for each thing made, nothing when all is there.
pub fn ready() -> Result<Machine> {
    ensure!(
        rustix::process::geteuid().is_root(),
        "engines, mounts and package installation need root; run `sudo -E env PATH=\"$PATH\" cargo xtask …`"
    );
    let cache = cache_folder()?;
    // Two tasks started at once make each thing only once.
    let _alone = lock_file(&cache.join("lock"), FlockOperation::LockExclusive)?;
    let distribution = Distribution::detect()?;
    apt::install_missing(&distribution, &cache)?;
    let moto_server = moto::ready(&cache)?;
    let older_engine = older::ready(&distribution, &cache)?;
    let base_tar = base::ready(&distribution, &cache)?;
    Ok(Machine {
        moto_server,
        older_engine,
        base_tar,
        cache,
    })
}

fn print() -> Result<()> {
    let cache = cache_folder()?;
    let distribution = Distribution::detect()?;
    say::line(format!("machine      {distribution}"));
    for (name, found) in apt::versions() {
        say::line(format!(
            "{name:<12} {}",
            found.as_deref().unwrap_or("missing")
        ));
    }
    let there = |path: PathBuf| {
        let note = if path.exists() { "" } else { " (missing)" };
        format!("{}{note}", path.display())
    };
    say::line(format!("S3 server    {}", there(moto::program(&cache))));
    say::line(format!("older engine {}", there(older::folder(&cache))));
    say::line(format!(
        "base image   {}",
        there(base::tar_path(&distribution, &cache)?)
    ));
    Ok(())
}

/// `$XDG_CACHE_HOME/larder-dev`, or `~/.cache/larder-dev`.
fn cache_folder() -> Result<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let caches = match variable("XDG_CACHE_HOME") {
        Some(folder) => PathBuf::from(folder),
        None => PathBuf::from(variable("HOME").context("neither XDG_CACHE_HOME nor HOME is set")?)
            .join(".cache"),
    };
    let folder = caches.join("larder-dev");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder)
}

/// The first line of `program --version`, where the program is there.
fn version_line(program: &str, arguments: &[&str]) -> Option<String> {
    let path = process::which(program)?;
    let text = process::read(std::process::Command::new(path).args(arguments)).ok()?;
    Some(text.lines().next().unwrap_or_default().to_owned())
}

//! `cargo xtask engine`: makes a bare Debian or Ubuntu machine ready for the tests, the demo and
//! the benchmarks: packages, a Docker engine, an older and a newer one, an S3 server, schemas and the demo's base
//! image.

mod apt;
mod base;
mod distribution;
mod packages;
mod programs;
mod unpacked;

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use rustix::fs::FlockOperation;

use xtask_tools::compiled::S3S_FS;
use xtask_tools::python::{MOTO, SCHEMAS};

pub use apt::versions;
use distribution::Distribution;
pub use programs::link as link_programs;
use xtask_tools::{process, say};

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
    /// Checks files against the schemas that CI systems' vendors publish.
    pub schema_checker: PathBuf,
    /// Docker 20.10.24, unpacked: `usr/sbin/dockerd` and so on below.
    pub older_engine: PathBuf,
    /// Docker 28, unpacked, to be laid over `/usr`; it may be missing.
    pub newer_engine: PathBuf,
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
    let _alone = lock(&cache.join("lock"), FlockOperation::LockExclusive)?;
    let distribution = Distribution::detect()?;
    apt::install_missing(&distribution, &cache)?;
    let moto_server = MOTO.ready(&cache)?;
    let schema_checker = SCHEMAS.ready(&cache)?;
    let older_engine = unpacked::OLDER.ready(&distribution, &cache)?;
    // What is not released yet may be away for a day.
    if let Err(error) = unpacked::NEWER.ready(&distribution, &cache) {
        say::line(format!(
            "warning: no test is run on the newer engine: {error:#}"
        ));
    }
    let base_tar = base::ready(&distribution, &cache)?;
    Ok(Machine {
        moto_server,
        schema_checker,
        older_engine,
        newer_engine: unpacked::NEWER.folder(&cache),
        base_tar,
        cache,
    })
}

/// Unpacks packages of a Debian suite below a folder: the folder that stands for the root.
pub fn unpack(suite: &str, packages: &[&str], work: &Path) -> Result<PathBuf> {
    apt::unpack(&Distribution::detect()?, suite, packages, work)
}

/// The program that checks files against schemas, installed where it is missing.
pub fn schemas() -> Result<PathBuf> {
    SCHEMAS.ready(&cache_folder()?)
}

/// The S3 server of the benchmarks that measure times, built where it is missing.
pub fn fast_s3_server() -> Result<PathBuf> {
    S3S_FS.ready(&cache_folder()?)
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
    for (name, path) in [
        ("S3 server", MOTO.program(&cache)),
        ("schemas", SCHEMAS.program(&cache)),
        ("older engine", unpacked::OLDER.folder(&cache)),
        ("newer engine", unpacked::NEWER.folder(&cache)),
        ("base image", base::tar_path(&distribution, &cache)?),
    ] {
        let note = if path.exists() { "" } else { " (missing)" };
        say::line(format!("{name:<12} {}{note}", path.display()));
    }
    Ok(())
}

/// Opens a file and locks it, until what is returned is dropped.
pub fn lock(path: &Path, operation: FlockOperation) -> Result<File> {
    let file = File::create(path).with_context(|| format!("cannot open {}", path.display()))?;
    rustix::fs::flock(&file, operation)
        .with_context(|| format!("cannot lock {}", path.display()))?;
    Ok(file)
}

/// `$XDG_CACHE_HOME/larder-dev`, or `~/.cache/larder-dev`.
fn cache_folder() -> Result<PathBuf> {
    let [caches, home] = ["XDG_CACHE_HOME", "HOME"].map(|name| {
        let value = std::env::var_os(name).filter(|value| !value.is_empty());
        value.map(PathBuf::from)
    });
    let caches = caches.or_else(|| Some(home?.join(".cache")));
    let caches = caches.context("neither XDG_CACHE_HOME nor HOME is set")?;
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

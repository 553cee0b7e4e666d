//! The program: built without libraries, and held to its bounds.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::Release;
use xtask_tools::{cargo, process, say};

/// A larger download would be felt at the beginning of each job.
const SIZE_MAX_BYTES: u64 = 15_000_000;
/// Jobs call the program several times.
const START_MAX: Duration = Duration::from_millis(10);
/// The median of this many starts counts.
const STARTS: usize = 21;

/// Builds the program, statically linked.
pub(super) fn build(release: &Release) -> Result<PathBuf> {
    let target = format!("{}-unknown-linux-gnu", release.arch);
    let root = super::repository().canonicalize()?;
    let flags = flags(&root)?;
    say::timed("built the program", || {
        let status = cargo::command("build")
            .args(["--package", "larder", "--profile", "dist", "--locked"])
            .args(["--target", &target])
            .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"))
            .env("GIT_COMMIT", &release.commit)
            .status()
            .context("cannot start cargo")?;
        ensure!(status.success(), "the program cannot be built: {status}");
        Ok(())
    })?;
    let folder = std::env::var_os("CARGO_TARGET_DIR").map_or(root.join("target"), PathBuf::from);
    Ok(folder.join(target).join("dist/larder"))
}

/// With a target named, these are not for build scripts and macros. Nobody unwinds where a panic aborts: the
/// tables are an eighth of the program, and the linker leaves them out (the compiler cannot: the standard
/// library's debug information asks for them). Packed relocations are half a megabyte less. Paths of the
/// machine that builds do not belong in a program.
fn flags(root: &Path) -> Result<Vec<String>> {
    let home = std::env::var("HOME").context("HOME is not set")?;
    let cargo = std::env::var("CARGO_HOME").unwrap_or(format!("{home}/.cargo"));
    let script = root.join("xtask/dist/without-unwinding.ld");
    let linked = [
        "-Ctarget-feature=+crt-static".to_owned(),
        "-Clink-arg=-Wl,-z,pack-relative-relocs".to_owned(),
        format!("-Clink-arg=-Wl,-T,{}", script.display()),
    ];
    let paths = [
        (cargo.as_str(), "/cargo"),
        (&root.to_string_lossy(), "/larder"),
    ]
    .map(|(from, to)| format!("--remap-path-prefix={from}={to}"));
    Ok(linked.into_iter().chain(paths).collect())
}

/// Holds a program to what was promised of it.
pub(super) fn check(program: &Path) -> Result<()> {
    let bytes = fs::metadata(program)?.len();
    ensure!(
        bytes <= SIZE_MAX_BYTES,
        "the program has {bytes} bytes, more than {SIZE_MAX_BYTES}"
    );
    let needs = process::read(Command::new("readelf").arg("--dynamic").arg(program))?;
    ensure!(
        !needs.contains("(NEEDED)"),
        "the program needs libraries:\n{needs}"
    );
    let start = start(program)?;
    ensure!(
        start <= START_MAX,
        "the program starts in {start:?}, more than {START_MAX:?}"
    );
    say::line(format!(
        "the program: {bytes} bytes, no libraries, starts in {:.1} ms",
        start.as_secs_f64() * 1000.0
    ));
    Ok(())
}

/// The median time of `larder version`, which does nothing but start.
fn start(program: &Path) -> Result<Duration> {
    let mut times = Vec::new();
    for _ in 0..STARTS {
        let begin = Instant::now();
        process::run(Command::new(program).arg("version"))?;
        times.push(begin.elapsed());
    }
    times.sort();
    Ok(times[STARTS / 2])
}

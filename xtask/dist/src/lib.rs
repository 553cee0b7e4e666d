//! `cargo xtask dist`: what is released, for this machine's architecture: one program without libraries in
//! an archive and a Debian package, with checksums, a bill of materials and a statement of provenance.

mod bill;
mod debian;
mod names;
mod pages;
mod program;
mod roots;
mod statement;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use xtask_tools::{process, say};

/// Make what is released: program, archive, Debian package, checksums, SBOM, provenance
#[derive(clap::Args)]
pub struct Args {
    /// Where to put it; what is there is replaced [default: target/release-files]
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
    /// Run the program in roots with an old, a new and no C library too, and check the SBOM against its schema (root)
    #[arg(long)]
    check: bool,
    /// A program that was built before, instead of building one
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
}

/// Unpacks packages of a Debian suite below a folder: the folder that stands for the root.
pub type Unpack = fn(&str, &[&str], &Path) -> Result<PathBuf>;

/// The program that checks files against schemas, and carries those of bills of materials.
pub type Schemas = fn() -> Result<PathBuf>;

/// What is released, and from what.
struct Release {
    version: String,
    /// The machine's architecture as Rust calls it.
    arch: &'static str,
    commit: String,
    /// When the commit was made: everything in the archives has this time, so that the same commit makes
    /// the same bytes.
    epoch_seconds: String,
    /// The same as RFC 3339.
    time: String,
    /// Where it is put.
    folder: PathBuf,
}

/// Runs the task.
pub fn run(args: &Args, unpack: Unpack, schemas: Schemas) -> Result<()> {
    let release = Release::look(args)?;
    if release.folder.exists() {
        fs::remove_dir_all(&release.folder)?;
    }
    fs::create_dir_all(&release.folder)?;
    let program = match &args.program {
        Some(program) => std::path::absolute(program)?,
        None => program::build(&release)?,
    };
    program::check(&program)?;
    let tree = pages::lay_out(&release, &program)?;
    release.archive(&tree)?;
    debian::package(&release, &tree)?;
    let bill = bill::write(&release, &program)?;
    for (from, to) in [("install.sh", "install.sh"), ("CHANGELOG.md", "NOTES.md")] {
        let text = fs::read_to_string(repository().join(from))?;
        let text = if from == "CHANGELOG.md" {
            notes(&text)
        } else {
            text
        };
        fs::write(release.folder.join(to), text)?;
    }
    statement::write(&release)?;
    fs::write(release.folder.join("SHA256SUMS"), release.checksums()?)?;
    fs::remove_dir_all(&tree)?;
    say::line(format!("{}:", release.folder.display()));
    for file in release.files()? {
        let bytes = release.folder.join(&file).metadata()?.len();
        say::line(format!("  {bytes:>9} B  {file}"));
    }
    if args.check {
        bill::check(&schemas()?, &bill)?;
        roots::check(&program, unpack)?;
    }
    Ok(())
}

impl Release {
    fn look(args: &Args) -> Result<Self> {
        let usual = repository().join("target/release-files");
        let commit = git(&["rev-parse", "HEAD"])?;
        Ok(Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            arch: std::env::consts::ARCH,
            epoch_seconds: git(&["log", "-1", "--format=%ct"])?,
            time: git(&["log", "-1", "--format=%cI"])?,
            commit,
            folder: match &args.to {
                Some(folder) => std::path::absolute(folder)?,
                None => usual,
            },
        })
    }

    /// The name that the files of this architecture begin with. It has no version in it, so that the address
    /// of the newest release's files is known.
    fn name(&self) -> String {
        format!("larder-{}-linux", self.arch)
    }

    fn archive(&self, tree: &Path) -> Result<()> {
        process::run(
            self.tar()
                .arg("--use-compress-program=gzip -9 -n")
                .arg("--file")
                .arg(self.folder.join(format!("{}.tar.gz", self.name())))
                .arg("--directory")
                .arg(tree)
                .arg("."),
        )
    }

    /// A tar that makes the same bytes of the same files (reproducible-builds.org, "Archive metadata").
    fn tar(&self) -> Command {
        let mut command = Command::new("tar");
        command.args([
            "--create",
            "--sort=name",
            "--format=gnu",
            "--owner=0",
            "--group=0",
            "--numeric-owner",
            &format!("--mtime=@{}", self.epoch_seconds),
        ]);
        command
    }

    /// What is there to be released, but for the checksums.
    fn files(&self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                names.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    /// As `sha256sum` prints them, and checks.
    fn checksums(&self) -> Result<String> {
        let files = self.files()?;
        let text = process::read(
            Command::new("sha256sum")
                .current_dir(&self.folder)
                .args(&files),
        )?;
        Ok(text + "\n")
    }
}

/// What the newest version's part of the changelog says.
fn notes(changelog: &str) -> String {
    let mut parts = changelog.split("\n## ");
    let newest = parts.nth(1).unwrap_or_default();
    format!("## {}\n", newest.trim_end())
}

fn sha256(file: &Path) -> Result<String> {
    let text = process::read(Command::new("sha256sum").arg(file))?;
    let digest = text.split(' ').next().context("sha256sum says nothing")?;
    ensure!(digest.len() == 64, "sha256sum says {text:?}");
    Ok(digest.to_owned())
}

fn git(arguments: &[&str]) -> Result<String> {
    process::read(
        Command::new("git")
            .current_dir(repository())
            .args(arguments),
    )
}

fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

#[cfg(test)]
mod tests {
    #[test]
    fn notes_are_the_newest_versions() {
        let text = "# Changelog\n\nText.\n\n## 2.0\n\n- new\n\n## 1.0\n\n- old\n";
        assert_eq!(super::notes(text), "## 2.0\n\n- new\n");
    }
}

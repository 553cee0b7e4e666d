//! The programs that tests may use: a folder that stands in for `PATH`.
//!
//! It holds those of the packages that the set-up names, of what these depend on, and of what every Debian
//! has. A program that a test needs and no package was named for is missing on each machine, also where it
//! happens to be installed or stands in `/usr/local`.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use super::packages::{self, PROGRAM_FOLDERS};
use xtask_tools::process;

/// Where dpkg keeps the list of each package's files, `NAME.list` or `NAME:ARCHITECTURE.list`.
const LISTS: &str = "/var/lib/dpkg/info";

/// Makes the folder; whoever runs tests as another user can enter it too.
pub fn link() -> Result<TempDir> {
    let owners = owners()?;
    let named = named(&owners)?;
    let installed = Installed::ask()?;
    let allowed = installed.reached_from(named);
    let folder = tempfile::Builder::new().prefix("programs-").tempdir()?;
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
    for program in programs()? {
        let brought = owner(&owners, &program).is_some_and(|package| allowed.contains(package));
        let link = folder
            .path()
            .join(program.file_name().expect("it is a folder's entry"));
        // The first of two of the same name, as in `PATH`.
        if brought && link.symlink_metadata().is_err() {
            symlink(&program, link)?;
        }
    }
    Ok(folder)
}

/// Each file that packages have brought, without a leading `/usr` (on a machine where `/bin` is `/usr/bin`
/// a package may name either), with the package.
fn owners() -> Result<BTreeMap<PathBuf, String>> {
    let mut owners = BTreeMap::new();
    for entry in fs::read_dir(LISTS).with_context(|| format!("cannot list {LISTS}"))? {
        let path = entry?.path();
        if path.extension() != Some(OsStr::new("list")) {
            continue;
        }
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let package = stem.split(':').next().unwrap_or_default();
        let text =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        for file in text.lines() {
            owners.insert(key(Path::new(file)), package.to_owned());
        }
    }
    Ok(owners)
}

fn key(file: &Path) -> PathBuf {
    Path::new("/").join(file.strip_prefix("/usr").unwrap_or(file))
}

/// The packages that brought what is used; another one than the set-up names may have (`docker-ce`).
fn named(owners: &BTreeMap<PathBuf, String>) -> Result<BTreeSet<String>> {
    let mut named = BTreeSet::new();
    for file in packages::files() {
        // dpkg does not list its own lists.
        if file.starts_with(LISTS) {
            continue;
        }
        let package = owner(owners, &file);
        ensure!(
            package.is_some(),
            "no package of this machine has brought {}; remove it and run `cargo xtask engine`",
            file.display()
        );
        named.extend(package.map(str::to_owned));
    }
    Ok(named)
}

/// A link of update-alternatives belongs to the package of what it leads to.
fn owner<'a>(owners: &'a BTreeMap<PathBuf, String>, file: &Path) -> Option<&'a str> {
    let direct = owners.get(&key(file));
    let found = direct.or_else(|| owners.get(&key(&file.canonicalize().ok()?)));
    found.map(String::as_str)
}

/// All that stands where packages put programs.
fn programs() -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for folder in PROGRAM_FOLDERS {
        let entries = fs::read_dir(folder).with_context(|| format!("cannot list {folder}"))?;
        for entry in entries {
            found.push(entry?.path());
        }
    }
    Ok(found)
}

/// The installed packages.
struct Installed {
    /// Of each package and each name that packages provide, what it depends on.
    depends: BTreeMap<String, BTreeSet<String>>,
    /// Those that every Debian has.
    required: BTreeSet<String>,
}

impl Installed {
    fn ask() -> Result<Self> {
        let format =
            "${Package}\t${Essential} ${Priority}\t${Provides}\t${Pre-Depends}, ${Depends}\n";
        let text =
            process::read(Command::new("dpkg-query").args(["--show", "--showformat", format]))?;
        let mut depends: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut required = BTreeSet::new();
        for line in text.lines() {
            let fields: Vec<&str> = line.split('\t').collect();
            let [package, rank, provides, needs] = fields[..] else {
                continue;
            };
            if rank.contains("yes") || rank.contains("required") {
                required.insert(package.to_owned());
            }
            for provided in names(provides) {
                let by = depends.entry(provided.to_owned()).or_default();
                by.insert(package.to_owned());
            }
            let own = depends.entry(package.to_owned()).or_default();
            own.extend(names(needs).map(str::to_owned));
        }
        Ok(Self { depends, required })
    }

    /// These packages, the required ones, and what they depend on. Of alternatives all count.
    fn reached_from(self, named: BTreeSet<String>) -> BTreeSet<String> {
        let mut waiting: Vec<String> = named.into_iter().chain(self.required).collect();
        let mut reached = BTreeSet::new();
        while let Some(package) = waiting.pop() {
            if reached.insert(package.clone()) {
                let needs = self.depends.get(&package).into_iter().flatten();
                waiting.extend(needs.cloned());
            }
        }
        reached
    }
}

/// `adduser, containerd (>= 1.4~), a | b:any` names four packages.
fn names(relation: &str) -> impl Iterator<Item = &str> {
    let each = relation.split([',', '|']);
    let bare = each.map(|one| one.trim().split([' ', ':']).next().unwrap_or_default());
    bare.filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::names;

    #[test]
    fn a_relation_names_packages() {
        let relation = ", adduser, containerd (>= 1.4~), a | b:any";
        let found: Vec<&str> = names(relation).collect();
        assert_eq!(found, ["adduser", "containerd", "a", "b"]);
    }
}

//! The new root, and running a command in it.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::{mirrors, process};

/// Makes the root `$root` the root of new namespaces, lends it `$cargo` and `$rustup`, and runs a command where
/// the repository is. Nothing that is mounted here is seen outside, and all of it goes with the last process.
const ENTER: &str = r#"set -eu
mount --make-rprivate /
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount --rbind /sys/fs/cgroup "$root/sys/fs/cgroup"
mount --rbind /dev "$root/dev"
mount -t tmpfs -o mode=755 run "$root/run"
mkdir "$root/run/lock"
lend() { mkdir -p "$2"; mount --bind "$1" "$2"; mount -o remount,bind,ro "$2"; }
lend "$cargo/bin" "$root/root/.cargo/bin"
lend "$rustup" "$root/root/.rustup"
mkdir -p "$root/root/.cargo/registry"
mount -t overlay -o "lowerdir=$cargo/registry,upperdir=$layers/upper,workdir=$layers/work" registry "$root/root/.cargo/registry"
hostname fresh
cd "$root"
mkdir -p .before
pivot_root . .before
cd /root/larder
umount -l /.before
rmdir /.before
exec "$@"
"#;

const COPY: &str =
    r#"tar -C "$1" --exclude-vcs --exclude=target --exclude=node_modules -c . | tar -C "$2" -x"#;

/// What cargo's settings may be called.
const CARGO_SETTINGS: [&str; 2] = ["config.toml", "config"];

/// A root in a folder.
pub(super) struct Root {
    folder: PathBuf,
    /// Where what is written to the registry's cache goes.
    layers: PathBuf,
    cargo: PathBuf,
    rustup: PathBuf,
}

impl Root {
    /// Unpacks the packages and copies the repository and this machine's settings into them.
    pub(super) fn create(folder: &Path, base_tar: &Path) -> Result<Self> {
        let made = Self {
            folder: folder.join("root"),
            layers: folder.join("registry"),
            cargo: home_of("CARGO_HOME", ".cargo")?,
            rustup: home_of("RUSTUP_HOME", ".rustup")?,
        };
        for name in ["upper", "work"] {
            fs::create_dir_all(made.layers.join(name))?;
        }
        fs::create_dir_all(&made.folder)?;
        process::run(
            Command::new("tar")
                .args(["--extract", "--numeric-owner", "--file"])
                .arg(base_tar)
                .arg("--directory")
                .arg(&made.folder),
        )?;
        made.copy_repository()?;
        made.copy_settings()?;
        Ok(made)
    }

    /// What a checkout holds, also what is not committed yet, and nothing that was built from it.
    fn copy_repository(&self) -> Result<()> {
        let copy = self.folder.join("root/larder");
        fs::create_dir_all(&copy)?;
        process::run(
            Command::new("sh")
                .args(["-c", COPY, "copy"])
                .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
                .arg(copy),
        )
    }

    fn copy_settings(&self) -> Result<()> {
        copy(
            Path::new("/etc/resolv.conf"),
            &self.folder.join("etc/resolv.conf"),
        )?;
        fs::write(self.folder.join("etc/hosts"), "127.0.0.1 localhost fresh\n")?;
        let own = self.folder.join("root/.cargo");
        fs::create_dir_all(&own)?;
        for name in CARGO_SETTINGS {
            let settings = self.cargo.join(name);
            if settings.exists() {
                copy(&settings, &own.join(name))?;
            }
        }
        fs::write(
            self.folder.join("etc/apt/apt.conf.d/90machine"),
            apt_settings()?,
        )
        .context("cannot write apt's settings")
    }

    /// Runs a command in it to its end, with its output on this terminal.
    pub(super) fn run(&self, words: &[&str]) -> Result<()> {
        let status = self.command(words).status();
        let status = status.context("cannot start unshare")?;
        ensure!(status.success(), "`{}` failed: {status}", words.join(" "));
        Ok(())
    }

    /// A command that runs in it.
    pub(super) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("unshare");
        command
            .args([
                "--mount",
                "--pid",
                "--ipc",
                "--uts",
                "--fork",
                "--kill-child",
            ])
            .args(["env", "--ignore-environment"])
            .args(self.environment())
            .args(["sh", "-c", ENTER, "fresh"])
            .args(words);
        command
    }

    /// As `env` takes it.
    fn environment(&self) -> Vec<OsString> {
        let usual = [
            ("HOME", "/root"),
            ("LANG", "C.UTF-8"),
            ("TERM", "dumb"),
            ("DEBIAN_FRONTEND", "noninteractive"),
            (
                "PATH",
                "/root/.cargo/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            ),
        ];
        let usual = usual.into_iter().map(|(name, value)| variable(name, value));
        let here = [
            ("root", &self.folder),
            ("layers", &self.layers),
            ("cargo", &self.cargo),
            ("rustup", &self.rustup),
        ];
        let here = here.map(|(name, path)| variable(name, path));
        let told = mirrors::variables().into_iter();
        let told = told.filter(|(_, value)| mirrors::holds_in(&self.folder, value));
        let told = told.map(|(name, value)| variable(&name, value));
        usual.chain(here).chain(told).collect()
    }
}

fn variable(name: &str, value: impl Into<OsString>) -> OsString {
    let mut word = OsString::from(format!("{name}="));
    word.push(value.into());
    word
}

/// The folder that a variable names, or that stands in the home folder.
fn home_of(name: &str, usual: &str) -> Result<PathBuf> {
    if let Some(told) = std::env::var_os(name) {
        return Ok(told.into());
    }
    let home = std::env::var_os("HOME").context("HOME is not set")?;
    Ok(Path::new(&home).join(usual))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let content = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
    fs::write(to, content).with_context(|| format!("cannot write {}", to.display()))
}

/// How apt reaches its mirrors here: proxies, certificates, time limits. `apt-config dump` prints settings as
/// lines of a configuration file.
fn apt_settings() -> Result<String> {
    let all = process::read(Command::new("apt-config").arg("dump"))?;
    let lines = all.lines();
    let of_http: Vec<&str> = lines
        .filter(|line| line.starts_with("Acquire::http"))
        .collect();
    Ok(of_http.join("\n") + "\n")
}

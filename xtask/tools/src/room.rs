//! A machine of a campaign's own: namespaces for mounts, network and processes, in which this program runs
//! once more. Its first process adopts and reaps orphans, as an init does.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::process;

/// How a machine begins. What other engines have mounted is let go of: they could not unmount it before the campaign
/// ends.
const BEGIN: &str = "set -e
awk '$5 != \"/\" && (/ - overlay / || / - nsfs / || / - [^ ]+ \\/dev\\/loop/) { print $5 }' \\
    /proc/self/mountinfo | sort -r | xargs -r -n 1 umount -l || true
mount -t tmpfs run /run
ip link set lo up
";

/// The first process of a machine: a shell, with a script for what comes after the machine has begun.
pub fn first(script: &str) -> Command {
    let mut unshare = Command::new("unshare");
    unshare
        .args(["--mount", "--net", "--pid", "--fork", "--kill-child"])
        .args(["--mount-proc", "--propagation", "private"])
        .args(["sh", "-c", &format!("{BEGIN}{script}"), "init"]);
    unshare
}

/// Runs this program again with the arguments that it has, inside of a machine, in this folder.
pub fn enter(folder: &Path) -> Result<()> {
    let program = std::env::current_exe().context("cannot find this program")?;
    let status = first("echo 0 > /proc/sys/net/ipv4/ip_forward\n\"$@\" & wait $!")
        .arg(program)
        .args(std::env::args_os().skip(1))
        .arg("--inside")
        .arg(folder)
        .status()
        .context("cannot run unshare")?;
    ensure!(status.success(), "the campaign failed: {status}");
    Ok(())
}

/// Makes the context, in this folder, of a build whose steps have busybox.
pub fn context(folder: &Path, dockerfile: &str) -> Result<()> {
    let context = folder.join("context");
    fs::create_dir_all(&context)?;
    let busybox = process::which("busybox").context("no busybox; run `cargo xtask engine`")?;
    fs::copy(busybox, context.join("busybox"))?;
    fs::write(context.join("Dockerfile"), dockerfile).context("the Dockerfile")
}

/// A process of the machine.
#[derive(Debug, Clone)]
pub struct Process {
    /// Its id.
    pub pid: i32,
    /// Its command line.
    pub words: Vec<String>,
}

impl Process {
    /// The name of its program.
    pub fn program(&self) -> &str {
        let first = self.words.first().map(Path::new);
        let name = first.and_then(Path::file_name);
        name.and_then(|name| name.to_str()).unwrap_or_default()
    }

    /// Its first argument.
    pub fn verb(&self) -> &str {
        self.words.get(1).map_or("", String::as_str)
    }

    /// Ends it at once.
    pub fn kill(&self) {
        if let Some(pid) = Pid::from_raw(self.pid) {
            // It may have ended just now.
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

/// All processes but the first, this one, and the store's server.
pub fn processes() -> Vec<Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let own = std::process::id().cast_signed();
    let mut found = Vec::new();
    for pid in pids.filter(|pid| *pid != 1 && *pid != own) {
        let line = fs::read(PathBuf::from(format!("/proc/{pid}/cmdline"))).unwrap_or_default();
        let line = String::from_utf8_lossy(&line);
        let words: Vec<_> = line.split_terminator('\0').map(str::to_owned).collect();
        // What has ended and was not yet reaped has no command line.
        if !words.is_empty() && !line.contains("moto_server") {
            found.push(Process { pid, words });
        }
    }
    found
}

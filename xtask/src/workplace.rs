//! Working folders of the demo and the benchmarks, and what an interrupted one left behind: its
//! folder, the disks mounted in it and its engines' bridges all carry its process id.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use rustix::fs::FlockOperation;
use tempfile::TempDir;

use crate::engine::{self, Machine};
use crate::{process, say};

/// The lock of those whose engines are named after process ids and stand in this machine's network: shared, and
/// exclusive for one whose process ids are others, because here they would be those of dead processes.
pub(crate) fn lock(machine: &Machine, operation: FlockOperation) -> Result<File> {
    engine::lock(&machine.cache.join("engines.lock"), operation)
}

/// A working folder.
pub(crate) struct Workplace {
    folder: TempDir,
    _lock: File,
}

impl Workplace {
    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// A new folder, gone afterwards unless it is to be kept. Clears away what dead runs left.
pub(crate) fn create(machine: &Machine, keep: bool) -> Result<Workplace> {
    let lock = lock(machine, FlockOperation::LockShared)?;
    clear_leftovers(&machine.cache)?;
    let name = if keep { "kept-" } else { "work-" };
    let folder = tempfile::Builder::new()
        .prefix(&format!("{name}{}-", std::process::id()))
        .tempdir_in(&machine.cache);
    let mut folder = folder.context("cannot make a working folder")?;
    folder.disable_cleanup(keep);
    Ok(Workplace {
        folder,
        _lock: lock,
    })
}

/// The name of this process's engine of that number: its bridge and its folder below `/run`.
pub(crate) fn engine_name(number: u8) -> String {
    format!("lx{}x{number}", std::process::id())
}

/// Unmounts what is mounted at or below a folder, last mounted first.
pub(crate) fn unmount_below(folder: &Path) -> Result<()> {
    let table = fs::read_to_string("/proc/self/mountinfo").context("cannot read mountinfo")?;
    // proc(5): the fifth field is the mount point.
    let points = table.lines().filter_map(|line| line.split(' ').nth(4));
    let below: Vec<PathBuf> = points
        .map(PathBuf::from)
        .filter(|point| point.starts_with(folder))
        .collect();
    for point in below.iter().rev() {
        process::run(Command::new("umount").arg("--lazy").arg(point))?;
    }
    Ok(())
}

fn clear_leftovers(cache: &Path) -> Result<()> {
    for bridge in entries(Path::new("/sys/class/net"))? {
        let Some(name) = of_dead_process(&bridge, "lx", 'x') else {
            continue;
        };
        say::line(format!(
            "removing what an interrupted run left: bridge {name}"
        ));
        process::run(Command::new("ip").args(["link", "delete", name]))?;
        remove(&Path::new("/run").join(name))?;
    }
    for folder in entries(cache)? {
        if of_dead_process(&folder, "work-", '-').is_some() {
            say::line(format!(
                "removing what an interrupted run left: {}",
                folder.display()
            ));
            remove(&folder)?;
        }
    }
    Ok(())
}

/// The name, if it holds the id of a process that is gone.
fn of_dead_process<'a>(path: &'a Path, prefix: &str, end: char) -> Option<&'a str> {
    let name = path.file_name()?.to_str()?;
    let (id, _) = name.strip_prefix(prefix)?.split_once(end)?;
    let id: u32 = id.parse().ok()?;
    let alive = Path::new("/proc").join(id.to_string()).exists();
    (!alive).then_some(name)
}

fn remove(folder: &Path) -> Result<()> {
    unmount_below(folder)?;
    if folder.exists() {
        fs::remove_dir_all(folder)
            .with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    Ok(())
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let list = fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    list.map(|entry| Ok(entry?.path())).collect()
}

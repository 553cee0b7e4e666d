//! The machine's control groups: an engine makes some for each container.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Where the machine has them.
pub const ROOT: &str = "/sys/fs/cgroup";
/// Without this hierarchy of version 1 runc starts no container (runc `libcontainer/cgroups/fs/devices.go`).
const DEVICES: &str = "/sys/fs/cgroup/devices";
/// The group that processes are moved to, by the name that the image `docker:dind` gives it (moby `hack/dind`).
const LEAF: &str = "init";
/// Processes that start while others are moved are moved, too.
const ROUNDS_MAX: usize = 10;

/// Makes a group and removes it.
pub(super) fn probe() -> io::Result<()> {
    let hierarchy = if is_unified(Path::new(ROOT)) {
        ROOT
    } else {
        DEVICES
    };
    let group = Path::new(hierarchy).join(format!("larder-probe-{}", std::process::id()));
    // A process of another namespace may have our number, and try the same now.
    match fs::create_dir(&group) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    match fs::remove_dir(&group) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Makes room for containers with limits. In the control groups that a container sees the root is an ordinary group,
/// and one that has processes hands no controller down. So these are moved to a group of their own, as the
/// image `docker:dind` does. Answers a warning if they cannot be.
pub fn make_room(root: &Path) -> Option<String> {
    let error = make_room_in(root).err()?;
    Some(format!(
        "containers with limits of memory or processors will not start: no controller of {} can be handed down \
         ({error})",
        root.display()
    ))
}

fn make_room_in(root: &Path) -> io::Result<()> {
    // The true root has no such file, and may have processes (Linux `admin-guide/cgroup-v2.rst`).
    if !is_unified(root) || !root.join("cgroup.type").exists() {
        return Ok(());
    }
    let mut controllers = words(&root.join("cgroup.controllers"))?;
    if words(&processes(root))?.is_empty() || controllers.is_empty() {
        return Ok(());
    }
    for controller in &mut controllers {
        controller.insert(0, '+');
    }
    let leaf = root.join(LEAF);
    match fs::create_dir(&leaf) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let mut handed = Ok(());
    for _ in 0..ROUNDS_MAX {
        for process in words(&processes(root))? {
            // One that has ended meanwhile is moved, too.
            let moved = fs::write(processes(&leaf), &process);
            tracing::debug!(?moved, process, "to a group of its own");
        }
        handed = fs::write(root.join("cgroup.subtree_control"), controllers.join(" "));
        if handed.is_ok() {
            break;
        }
    }
    handed
}

fn is_unified(root: &Path) -> bool {
    root.join("cgroup.controllers").exists()
}

fn processes(group: &Path) -> PathBuf {
    group.join("cgroup.procs")
}

/// The words of a file; a process that we cannot see is `0` there, which would be ourselves.
fn words(path: &Path) -> io::Result<Vec<String>> {
    let text = fs::read_to_string(path)?;
    let words = text.split_whitespace().filter(|word| *word != "0");
    Ok(words.map(str::to_owned).collect())
}

//! The machine's control groups: an engine makes some for each container.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

const ROOT: &str = "/sys/fs/cgroup";
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
    fs::create_dir(&group).and_then(|()| fs::remove_dir(&group))
}

/// Makes room for containers with limits. In the control groups that a container sees the root is an ordinary group,
/// and one that has processes hands no controller down. So these are moved to a group of their own, as the
/// image `docker:dind` does. Answers a warning if they cannot be.
pub fn make_room() -> Option<String> {
    let root = Path::new(ROOT);
    let made = make_room_in(root);
    let error = made.err()?;
    Some(format!(
        "containers with limits of memory or processors will not start: no controller of {ROOT} can be handed \
         down ({error})"
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

#[cfg(test)]
mod tests {
    use std::process::{Child, Command};

    use super::*;

    /// A group in the machine's own unified hierarchy, if there is one.
    struct Group(PathBuf, Child);

    impl Group {
        fn with_a_process() -> Option<Self> {
            let mounts = fs::read_to_string("/proc/self/mounts").expect("mounts");
            let mut mounts = mounts
                .lines()
                .map(|line| line.split(' ').collect::<Vec<_>>());
            let mount = mounts.find(|mount| mount[2] == "cgroup2")?;
            let group = Path::new(mount[1]).join(format!("larder-test-{}", std::process::id()));
            fs::create_dir(&group).ok()?;
            let sleep = Command::new("sleep").arg("600").spawn().expect("it starts");
            fs::write(processes(&group), sleep.id().to_string()).expect("moved");
            Some(Self(group, sleep))
        }
    }

    impl Drop for Group {
        fn drop(&mut self) {
            let ended = self.1.kill().and_then(|()| self.1.wait());
            let removed = [self.0.join(LEAF), self.0.clone()].map(fs::remove_dir);
            assert!(ended.is_ok() && removed[1].is_ok(), "{removed:?}");
        }
    }

    #[test]
    fn processes_make_room_for_containers_with_limits() {
        let Some(group) = Group::with_a_process() else {
            println!("skipped: there is no unified hierarchy of control groups to write to");
            return;
        };
        let (root, process) = (&group.0, group.1.id().to_string());
        for _ in 0..2 {
            make_room_in(root).expect("room");
            let controllers = words(&root.join("cgroup.controllers")).expect("listed");
            assert_eq!(
                words(&root.join("cgroup.subtree_control")).expect("listed"),
                controllers
            );
            if !controllers.is_empty() {
                assert_eq!(
                    words(&processes(&root.join(LEAF))).expect("listed"),
                    [process.as_str()]
                );
            }
        }
    }

    #[test]
    fn the_machines_own_root_is_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("cgroup.controllers"), "memory").expect("written");
        make_room_in(folder.path()).expect("nothing to do");
        assert!(!folder.path().join(LEAF).exists());
    }
}

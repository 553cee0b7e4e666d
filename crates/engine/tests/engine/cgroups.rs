//! Control groups as a privileged container has them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use larder_engine::cgroups::make_room;

/// A group with a process in the machine's own unified hierarchy, if there is one.
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
        let group = Self(group, sleep);
        let moved = fs::write(group.0.join("cgroup.procs"), group.1.id().to_string());
        moved.expect("moved");
        Some(group)
    }

    fn words(&self, file: &str) -> Vec<String> {
        let text = fs::read_to_string(self.0.join(file)).expect("it is there");
        text.split_whitespace().map(str::to_owned).collect()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let ended = self.1.kill().and_then(|()| self.1.wait());
        assert!(ended.is_ok(), "{ended:?}");
        // The inner one may not be there; a test that failed has said why.
        let _ = fs::remove_dir(self.0.join("init"));
        let _ = fs::remove_dir(&self.0);
    }
}

#[test]
fn processes_make_room_for_containers_with_limits() {
    let Some(group) = Group::with_a_process() else {
        println!("skipped: there is no unified hierarchy of control groups to write to");
        return;
    };
    let controllers = group.words("cgroup.controllers");
    if controllers.is_empty() {
        println!("skipped: the unified hierarchy of control groups has no controllers");
        return;
    }
    let process = group.1.id().to_string();
    assert_eq!(group.words("cgroup.procs"), [process.as_str()]);
    for _ in 0..2 {
        assert_eq!(make_room(&group.0), None);
        assert_eq!(group.words("cgroup.subtree_control"), controllers);
        assert_eq!(group.words("init/cgroup.procs"), [process.as_str()]);
    }
}

#[test]
fn the_machines_own_root_is_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("cgroup.controllers"), "memory").expect("written");
    assert_eq!(make_room(folder.path()), None);
    assert!(!folder.path().join("init").exists());
}

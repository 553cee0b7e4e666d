//! What the machine must have before a session is started, each with its cure.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};

use crate::exit::{Done, Failure};

/// Checks what can be checked at once: root, FUSE, loop devices, mkfs, the network's programs.
pub fn check(path: &[PathBuf]) -> Done<()> {
    if !rustix::process::geteuid().is_root() {
        return Err(Failure::machine(
            "mounting a volume and starting an engine need root: run larder with sudo -E",
        ));
    }
    let open = |device: &str| OpenOptions::new().read(true).write(true).open(device);
    if let Err(error) = open("/dev/fuse") {
        return Err(Failure::machine(format!(
            "/dev/fuse cannot be opened ({error}): load the fuse module (modprobe fuse), or start the \
             container with --privileged"
        )));
    }
    if let Err(error) = open("/dev/loop-control") {
        return Err(Failure::machine(format!(
            "/dev/loop-control cannot be opened ({error}): load the loop module (modprobe loop), or \
             start the container with --privileged"
        )));
    }
    let usual = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    let has = |folder: &Path| folder.join("mkfs.ext4").is_file();
    if !path.iter().chain(&usual).any(|folder| has(folder)) {
        return Err(Failure::machine(
            "mkfs.ext4 was not found: install the package e2fsprogs",
        ));
    }
    Ok(larder_engine::program::check_network_tools(path)?)
}

//! What the machine must have before a session is started, each with its cure.

use std::fs::OpenOptions;
use std::path::PathBuf;

use larder_local::programs;

use crate::{Result, SessionError};

/// Checks what can be checked at once: root, FUSE, loop devices, mkfs, the network's programs. Programs
/// are looked for in `path`.
pub fn check(path: &[PathBuf]) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Err(SessionError::NeedsRoot);
    }
    check_device("/dev/fuse", "fuse")?;
    check_device("/dev/loop-control", "loop")?;
    if programs::find("mkfs.ext4", path).is_none() {
        return Err(SessionError::NoMkfs);
    }
    Ok(larder_engine::program::check_network_tools(path)?)
}

fn check_device(device: &'static str, module: &'static str) -> Result<()> {
    let opened = OpenOptions::new().read(true).write(true).open(device);
    opened.map_err(|error| SessionError::Device(device, module, error))?;
    Ok(())
}

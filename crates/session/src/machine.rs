//! What the machine must have before a session is started, each with its cure.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};

use larder_docker::USUAL_SOCKET;
use larder_engine::MachineSettings;
use larder_local::programs;

use crate::{Result, SessionError};

/// The settings of the machine's engine.
const DAEMON_JSON: &str = "/etc/docker/daemon.json";

/// Checks what can be checked at once: root, FUSE, loop devices, mkfs, the network's programs, and whether
/// an engine of ours may stand beside the machine's at all. Programs are looked for in `path`.
pub fn check(path: &[PathBuf]) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Err(SessionError::NeedsRoot);
    }
    check_device("/dev/fuse", "fuse")?;
    check_device("/dev/loop-control", "loop")?;
    if programs::find("mkfs.ext4", path).is_none() {
        return Err(SessionError::NoMkfs);
    }
    larder_engine::program::check_network_tools(path)?;
    Ok(larder_engine::check_settings(&settings()?)?)
}

/// What the administrator has set for the machine's engine.
pub(crate) fn settings() -> Result<MachineSettings> {
    Ok(MachineSettings::read(
        Path::new(DAEMON_JSON),
        Path::new(USUAL_SOCKET),
    )?)
}

fn check_device(device: &'static str, module: &'static str) -> Result<()> {
    let opened = OpenOptions::new().read(true).write(true).open(device);
    opened.map_err(|error| SessionError::Device(device, module, error))?;
    Ok(())
}

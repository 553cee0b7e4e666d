//! What a machine, as a rule a container, must let an engine do, tried before anything is started.

use std::fs::OpenOptions;
use std::path::PathBuf;

use larder_local::programs;

use super::cgroups;
use crate::error::{EngineError, Result};
use crate::tool::{IP, IPTABLES_SAVE, NFT, Tool};

/// A setting of the network as they are all: read-only in a container that is not privileged.
const FORWARDING: &str = "/proc/sys/net/ipv4/ip_forward";

/// Tries what an engine does first: it reads the firewall, writes a setting of the network, makes a control
/// group. Which firewall will do depends on dockerd's version, see
/// [`check_network_tools`](crate::program::EngineProgram::check_network_tools).
pub fn check(path: &[PathBuf]) -> Result<()> {
    let is_here = |tool: Tool| programs::find(tool.program, path).is_some();
    if !is_here(IP) {
        return Err(IP.missing());
    }
    let read = if is_here(IPTABLES_SAVE) {
        IPTABLES_SAVE.run(&[])
    } else if is_here(NFT) {
        NFT.run(&["list", "tables"])
    } else {
        return Err(IPTABLES_SAVE.missing());
    };
    read.map_err(|error| match error {
        EngineError::ToolFailed { message, .. } => {
            let why = message.lines().next().unwrap_or_default().to_owned();
            forbidden("the firewall cannot be read", why)
        }
        error => error,
    })?;
    let opened = OpenOptions::new().write(true).open(FORWARDING);
    opened.map_err(|error| forbidden("/proc/sys cannot be written", error.to_string()))?;
    check_groups()
}

/// Tries alone what each container needs.
pub fn check_groups() -> Result<()> {
    let made = cgroups::probe();
    made.map_err(|error| forbidden("control groups cannot be made", error.to_string()))
}

fn forbidden(what: &'static str, why: String) -> EngineError {
    EngineError::Forbidden { what, why }
}

//! The namespaces that the calling thread is in.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{EngineError, Result};

const FORWARDING: &str = "/proc/sys/net/ipv4/ip_forward";
/// Of all interfaces, and of those to come (Linux `net/ipv6/addrconf.c`, `addrconf_fixup_forwarding`).
const FORWARDING_IPV6: &str = "/proc/sys/net/ipv6/conf/all/forwarding";

/// Whether the network namespace forwards packets.
pub(super) fn read_forwarding() -> Result<bool> {
    let path = Path::new(FORWARDING);
    let text = fs::read(path).map_err(EngineError::io("cannot read", path))?;
    Ok(text.trim_ascii() != b"0")
}

/// Switches it on or off.
pub(crate) fn write_forwarding(on: bool) -> Result<()> {
    fs::write(FORWARDING, if on { "1" } else { "0" })
        .map_err(EngineError::io("cannot write", Path::new(FORWARDING)))
}

/// The same of IPv6; a kernel may have none.
pub(super) fn read_forwarding_ipv6() -> Option<bool> {
    let text = fs::read(FORWARDING_IPV6).ok()?;
    Some(text.trim_ascii() != b"0")
}

pub(super) fn stop_forwarding_ipv6() -> Result<()> {
    fs::write(FORWARDING_IPV6, "0")
        .map_err(EngineError::io("cannot write", Path::new(FORWARDING_IPV6)))
}

/// Refuses to work on a thread that shares the process's namespace, which is the host's.
pub(crate) fn require_own(namespace: &'static str) -> Result<()> {
    if namespace_of("thread-self", namespace)? == namespace_of("self", namespace)? {
        return Err(EngineError::NotInRoom { namespace });
    }
    Ok(())
}

fn namespace_of(whose: &str, namespace: &str) -> Result<PathBuf> {
    let path = Path::new("/proc").join(whose).join("ns").join(namespace);
    fs::read_link(&path).map_err(EngineError::io("cannot read", &path))
}

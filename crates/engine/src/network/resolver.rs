//! Name servers for the room. One on the host's loopback, as systemd-resolved's 127.0.0.53, cannot
//! be reached from another network namespace; the servers behind it can.

use std::fs;
use std::net::IpAddr;
use std::path::Path;

use super::namespace::require_own;
use crate::error::{EngineError, Result};

const RESOLV_CONF: &str = "/etc/resolv.conf";
/// Where systemd-resolved lists the servers that it asks itself (systemd-resolved.service(8)).
const UPSTREAMS: &str = "/run/systemd/resolve/resolv.conf";

/// Gives the room's mount namespace a `resolv.conf` that works there. Answers a warning if there is
/// none.
pub(super) fn settle(run_dir: &Path) -> Result<Option<String>> {
    let host = fs::read_to_string(RESOLV_CONF).unwrap_or_default();
    if reachable(&host) {
        return Ok(None);
    }
    let upstreams = fs::read_to_string(UPSTREAMS).unwrap_or_default();
    if !reachable(&upstreams) {
        return Ok(Some(format!(
            "{RESOLV_CONF} names only servers on this host's loopback, which the private engine cannot reach; \
             set \"dns\" in /etc/docker/daemon.json or use --engine takeover"
        )));
    }
    require_own("mnt")?;
    let own = run_dir.join("resolv.conf");
    fs::write(&own, upstreams).map_err(EngineError::io("cannot write", &own))?;
    rustix::mount::mount_bind(&own, RESOLV_CONF).map_err(|errno| {
        EngineError::io("cannot mount over", Path::new(RESOLV_CONF))(errno.into())
    })?;
    Ok(None)
}

/// Is there a server that is not on loopback?
fn reachable(resolv_conf: &str) -> bool {
    let servers = resolv_conf.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        (words.next() == Some("nameserver"))
            .then(|| words.next())
            .flatten()
    });
    // An IPv6 server may carry a zone, `fe80::1%eth0`; such a link is not the room's either.
    servers
        .filter_map(|server| server.parse::<IpAddr>().ok())
        .any(|server| !server.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_servers_do_not_reach_a_room() {
        assert!(reachable("# a comment\nsearch x\nnameserver 10.0.0.2\n"));
        assert!(reachable("nameserver 127.0.0.53\nnameserver fd00::1\n"));
        assert!(!reachable(
            "nameserver 127.0.0.53\nnameserver ::1\noptions edns0\n"
        ));
        assert!(!reachable(""));
    }
}

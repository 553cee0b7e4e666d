//! Links of this network namespace, by name.

use crate::error::{EngineError, Result};
use crate::tool::IP;

/// All of them, as `docker0` or `veth1a2b3c4@veth5d6e7f8`.
/// Not from /sys/class/net, which shows the network namespace that /sys was mounted in.
pub(super) fn all() -> Result<Vec<String>> {
    let listed = IP.run(&["-oneline", "link", "show"])?;
    // `4: docker0: <BROADCAST,…`
    let names = listed.lines().filter_map(|line| line.split(": ").nth(1));
    Ok(names.map(str::to_owned).collect())
}

/// Deletes one. That it is not there, or went with its peer, is fine.
pub(super) fn delete(name: &str) -> Result<()> {
    match IP.run(&["link", "del", name]) {
        // It goes with the room's namespace, maybe just now.
        Err(EngineError::ToolFailed { message, .. })
            if ["Cannot find device", "No such device"]
                .iter()
                .any(|gone| message.contains(gone)) =>
        {
            Ok(())
        }
        deleted => deleted.map(drop),
    }
}

//! What stays of the builders' states once all of them have ended.

use std::path::Path;

use larder_engine::scrub::scrub_state;
use larder_model::course::Build;

use crate::containers::{Bounds, Seen, forget, settle};
use crate::error::Result;

/// What is told of the builders of a session.
#[derive(Debug, Default)]
pub struct ScrubbedBuilders {
    /// What is not kept, one sentence each.
    pub notices: Vec<String>,
    /// Their builds.
    pub builds: Vec<Build>,
}

/// Settles which states of builders stay on a volume that nobody uses any more, and scrubs those that changed.
pub fn scrub_builders(volume: &Path, seen: &[Seen], bounds: Bounds) -> Result<ScrubbedBuilders> {
    let settled = settle(volume, seen, bounds)?;
    let mut done = ScrubbedBuilders {
        notices: settled.notices,
        builds: Vec::new(),
    };
    for (name, place) in settled.changed {
        let state = volume.join(place);
        let (recorded, damaged) = scrub_state(&state)?;
        done.builds.extend(recorded);
        if let Some(database) = damaged {
            done.notices.push(format!(
                "the cache of the builder {name} is not kept: {} in it is damaged",
                database.display()
            ));
            forget(volume, &name)?;
        }
    }
    Ok(done)
}

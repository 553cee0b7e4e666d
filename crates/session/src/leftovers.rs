//! Clearing what a session left behind whose background process died.
//!
//! The record is written before each step that leaves something on the machine, so whatever the
//! moment of death, the next command knows what to look for. Everything here may be done twice.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use larder_engine::network::{self, HostNetwork};
use larder_engine::process::Identity;
use larder_engine::takeover::Taken;
use larder_engine::{EngineError, Shape, clean_up, holders};
use larder_local::files;
use serde::{Deserialize, Serialize};

use crate::{Place, Result, SessionError};

/// Time for processes to end after SIGKILL.
const KILL_LIMIT: Duration = Duration::from_secs(10);

const UNBLOCK_PAUSE: Duration = Duration::from_millis(5);

/// What a session has on the machine.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Record {
    /// How its engine stands beside the machine's own.
    pub shape: Option<Shape>,
    /// What was stopped for it.
    pub taken: Option<Taken>,
    /// The socket that was taken over.
    pub usual_socket: Option<PathBuf>,
    /// The host's network as it was, if no other engine was stopped for ours.
    pub network: Option<HostNetwork>,
    /// The volume's device.
    pub device: Option<(u32, u32)>,
    /// The volume's FUSE connection.
    pub connection: Option<u32>,
    /// The background process.
    pub owner: Option<Identity>,
}

impl Record {
    /// Writes the record: whole or not at all.
    pub(crate) fn write(&self, place: &Place) -> Result<()> {
        let text = serde_json::to_vec(self).expect("a record has a JSON form");
        let path = place.record();
        files::write_private(&path, &text).map_err(SessionError::path("write", &path))
    }

    /// Gives the machine back what was taken from it, when the engine is gone.
    pub(crate) fn give_back(&self, place: &Place) -> Result<(), EngineError> {
        if self.shape == Some(Shape::Private) {
            network::tear_down(&place.id)?;
        }
        if let Some(network) = &self.network {
            network.take_back()?;
        }
        match (self.taken, &self.usual_socket) {
            (Some(taken), Some(socket)) => taken.give_back(socket),
            _ => Ok(()),
        }
    }

    fn read(place: &Place) -> Option<Self> {
        let path = place.record();
        // Processes are ended by what it says, so it is believed only if we wrote it.
        let file = match files::open_private(&path) {
            // It is not there, or a link.
            Err(error) if error.raw_os_error().is_some() => return None,
            opened => opened.inspect_err(|error| tracing::warn!(%error, ?path, "not our record")),
        };
        // One that cannot be read is treated as one that says nothing: the rest is found by name.
        let text = file.and_then(std::io::read_to_string).unwrap_or_default();
        Some(serde_json::from_str(&text).unwrap_or_default())
    }
}

/// Ends a background process that was killed while it waited for its own disk. Until then it holds the
/// lock, and its control socket accepts connections that are never answered.
pub(crate) fn unblock(place: &Place) {
    let Some(Record {
        owner: Some(owner),
        connection: Some(connection),
        ..
    }) = Record::read(place)
    else {
        return;
    };
    if !owner.is_stuck() {
        return;
    }
    if let Err(error) = larder_volume::connection::abort(connection) {
        tracing::warn!(%error, "the FUSE connection stays");
    }
    let started = Instant::now();
    while owner.is_stuck() && started.elapsed() < KILL_LIMIT {
        std::thread::sleep(UNBLOCK_PAUSE);
    }
}

/// Clears what a dead session left; says whether there was anything. Call it with the lock held.
pub fn clear(place: &Place) -> Result<bool> {
    let Some(record) = Record::read(place) else {
        return Ok(false);
    };
    let cleaned = clean_up::clean_up(&place.run(), KILL_LIMIT)?;
    let mut stuck = cleaned.stuck;
    if let Some(device) = record.device {
        stuck.extend(holders::end_holders(device, KILL_LIMIT));
    }
    record.give_back(place)?;
    if let Some(process) = stuck.first() {
        return Err(SessionError::Stuck(process.pid));
    }
    forget(place);
    Ok(true)
}

/// Removes the session's files; the lock stays.
pub(crate) fn forget(place: &Place) {
    if let Err(error) = larder_volume::volume::remove_local_file(&place.volume().folder) {
        tracing::warn!(%error, "the volume's file stays");
    }
    for result in [
        std::fs::remove_dir_all(place.run()),
        std::fs::remove_file(place.record()),
    ] {
        if let Err(error) = result {
            tracing::debug!(%error, "nothing to remove");
        }
    }
}

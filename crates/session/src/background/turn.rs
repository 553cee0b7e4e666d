//! The turn to stand in the place of the machine's engine, which one Larder on a machine has. One has podman's storage,
//! too.
//!
//! It is taken before the machine's engine is looked at, and kept until all that a takeover did to the machine
//! is taken back: who looks in between sees an engine that is not the machine's, or its traces. Whoever finds
//! it taken gets a private engine.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::leftovers;
use crate::lock::{self, One};
use crate::{Place, Result, SessionError};

/// Whoever looks at the machine's engine has decided by then: it is an API away.
const LOOK_LIMIT: Duration = Duration::from_secs(20);

/// It ends with the process, too; what that one did to the machine is then still to be taken back.
pub(crate) struct Turn(lock::Machine);

impl Turn {
    /// Takes the turn, to look at what is there. `None` if another has it and stands in that one's
    /// place, or died with it and cannot be cleared up after.
    pub(super) fn take(one: One, own: &Place) -> Result<Option<Self>> {
        let began = Instant::now();
        loop {
            if let Some(lock) = lock::Machine::take(one)? {
                return Self::after(lock, own);
            }
            if lock::machine_is_named(one) || began.elapsed() > LOOK_LIMIT {
                return Ok(None);
            }
            std::thread::sleep(lock::PAUSE);
        }
    }

    fn after(mut lock: lock::Machine, own: &Place) -> Result<Option<Self>> {
        // What an earlier session of our own left is cleared.
        if let Some(dead) = lock.holder()?
            && dead != own.state()
            && let Err(error) = own.elsewhere(dead).and_then(|dead| clear(&dead))
        {
            tracing::warn!(%error, "what another session left is not cleared");
            return Ok(None);
        }
        lock.name(Path::new(""))?;
        Ok(Some(Self(lock)))
    }

    /// Stands in the machine's engine's place from now on.
    pub(super) fn stand(&mut self, place: &Place) -> Result<()> {
        self.0.name(place.state())
    }

    /// Gives it back: nothing of ours is left.
    pub(super) fn end(self) -> Result<()> {
        self.0.remove()
    }
}

/// Clears what one that died with the turn left on the machine: it would be taken for the machine's own.
fn clear(dead: &Place) -> Result<()> {
    if dead.exists() {
        let lock = lock::take(dead)?;
        let _lock = lock.ok_or_else(|| SessionError::Busy(dead.state().to_owned()))?;
        leftovers::clear(dead)?;
    }
    Ok(())
}

//! What time it is.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Unix time in milliseconds; 0 on a machine whose clock stands before 1970.
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}

/// The milliseconds that have passed since.
pub fn ms_since(started: Instant) -> u64 {
    started.elapsed().as_millis() as u64
}

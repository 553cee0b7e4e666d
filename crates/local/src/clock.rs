//! What time it is.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

/// Unix time in milliseconds; 0 on a machine whose clock stands before 1970.
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}

/// The milliseconds that have passed since.
pub fn ms_since(started: Instant) -> u64 {
    started.elapsed().as_millis() as u64
}

/// Milliseconds since the machine was started: for spans of time from one process to the next, which no
/// setting of the clock may stretch.
pub fn uptime_ms() -> u64 {
    let since = clock_gettime(ClockId::Boottime);
    since.tv_sec.cast_unsigned() * 1000 + since.tv_nsec.cast_unsigned() / 1_000_000
}

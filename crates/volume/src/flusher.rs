//! Threads that the kernel's write-back waits for.
//!
//! When memory is short the kernel writes dirty pages back to free some; those of our volume come
//! back to us as requests. A serving thread that then allocates memory must not wait for that same
//! write-back: `PR_SET_IO_FLUSHER` (prctl(2), Linux 5.6) says so. Without it disks in user space have
//! hung in CI jobs, with no trace in the kernel's log.

use rustix::process::{configure_io_flusher_behavior, is_io_flusher};

/// Makes the calling thread, and the threads that it starts later, an IO flusher; then asks the
/// kernel whether it is one, because a call that was wrong by one argument has gone unnoticed
/// elsewhere for years.
pub fn become_flusher() -> rustix::io::Result<bool> {
    configure_io_flusher_behavior(true)?;
    is_io_flusher()
}

/// Takes that back for a thread that starts other programs, which would inherit it.
pub fn stay_ordinary() {
    // It fails where becoming one has failed too: without CAP_SYS_RESOURCE.
    if let Err(error) = configure_io_flusher_behavior(false) {
        tracing::debug!(%error, "this thread stays as it is");
    }
}

//! Where the background process says what it does: to whoever asked for it, and to its log.

use std::io::Write;
use std::sync::{Mutex, PoisonError};

use super::protocol::Event;

/// Where events go: to whoever asked for what is being done.
pub struct Events(Mutex<Box<dyn Write + Send>>);

impl Events {
    /// Events that go to `out`, a line each.
    pub fn to(out: impl Write + Send + 'static) -> Self {
        Self(Mutex::new(Box::new(out)))
    }

    /// Sends an event; false if nobody listens any more. The log has it in any case.
    pub fn emit(&self, event: &Event) -> bool {
        if !matches!(event, Event::Progress(_)) {
            tracing::info!(?event, "event");
        }
        let mut out = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let sent = out
            .write_all(event.to_line().as_bytes())
            .and_then(|()| out.flush());
        sent.is_ok()
    }
}

//! Where the background process says what it does: to whoever asked for it, and to its log.

use std::io::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::protocol::Event;

/// Where events go: to whoever asked for what is being done.
pub struct Events {
    out: Mutex<Box<dyn Write + Send>>,
    warnings: Mutex<Vec<String>>,
}

impl Events {
    /// Events that go to `out`, a line each.
    pub fn to(out: impl Write + Send + 'static) -> Self {
        Self {
            out: Mutex::new(Box::new(out)),
            warnings: Mutex::default(),
        }
    }

    /// Sends an event; false if nobody listens any more. The log has it in any case.
    pub fn emit(&self, event: &Event) -> bool {
        if !matches!(event, Event::Progress(_)) {
            tracing::info!(?event, "event");
        }
        if let Event::Warning(text) = event {
            self.warnings().push(text.clone());
        }
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        let sent = out
            .write_all(event.to_line().as_bytes())
            .and_then(|()| out.flush());
        sent.is_ok()
    }

    /// The warnings so far: a report holds what was said.
    pub fn take_warnings(&self) -> Vec<String> {
        std::mem::take(&mut self.warnings())
    }

    fn warnings(&self) -> MutexGuard<'_, Vec<String>> {
        self.warnings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! What the background process says: to the command that asked, and to the log.

use std::io::Write;
use std::mem;
use std::os::unix::net::UnixStream;

use larder_local::people::{Progress, Voice};
use parking_lot::Mutex;

use crate::protocol::Event;

/// Sends events to whoever asked for what is being done, or uses a session.
#[derive(Default)]
pub(crate) struct Events {
    heard_by: Mutex<Vec<Box<dyn Write + Send>>>,
    warnings: Mutex<Vec<String>>,
}

impl Events {
    /// Events that go to `out`, a line each.
    pub(crate) fn to(out: impl Write + Send + 'static) -> Self {
        Self {
            heard_by: Mutex::new(vec![Box::new(out)]),
            warnings: Mutex::default(),
        }
    }

    /// One more, who hears what is said from now on.
    pub(crate) fn add(&self, stream: &UnixStream) {
        match stream.try_clone() {
            Ok(stream) => self.heard_by.lock().push(Box::new(stream)),
            Err(error) => tracing::warn!(%error, "a command is told nothing"),
        }
    }

    /// Sends an event, and logs it. Forgets those that are gone; false if nobody is left.
    pub(crate) fn emit(&self, event: &Event) -> bool {
        if !matches!(event, Event::Progress(_)) {
            tracing::info!(?event, "event");
        }
        let mut line = serde_json::to_vec(event).expect("every event has a JSON form");
        line.push(b'\n');
        let mut heard_by = self.heard_by.lock();
        heard_by.retain_mut(|out| out.write_all(&line).and_then(|()| out.flush()).is_ok());
        !heard_by.is_empty()
    }

    /// The warnings since the last call: a report holds what was said.
    pub(crate) fn take_warnings(&self) -> Vec<String> {
        mem::take(&mut self.warnings.lock())
    }
}

impl Voice for Events {
    fn note(&self, text: &str) {
        self.emit(&Event::Note(text.to_owned()));
    }

    fn warning(&self, text: &str) {
        self.warnings.lock().push(text.to_owned());
        self.emit(&Event::Warning(text.to_owned()));
    }

    fn progress(&self, progress: Progress) {
        self.emit(&Event::Progress(progress));
    }
}

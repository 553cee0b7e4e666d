//! What the background process says: to the command that asked, and to the log.

use std::io::Write;
use std::mem;
use std::os::unix::net::UnixStream;

use larder_local::people::{Progress, Voice};
use parking_lot::Mutex;

use crate::protocol::Event;

/// Sends events to the command that asked for what is being done.
pub(crate) struct Events {
    out: Mutex<Box<dyn Write + Send>>,
    warnings: Mutex<Vec<String>>,
}

impl Events {
    /// Events that go to `out`, a line each.
    pub(crate) fn to(out: impl Write + Send + 'static) -> Self {
        Self {
            out: Mutex::new(Box::new(out)),
            warnings: Mutex::default(),
        }
    }

    /// Sends an event, and logs it; false if the command is gone.
    pub(crate) fn emit(&self, event: &Event) -> bool {
        if !matches!(event, Event::Progress(_)) {
            tracing::info!(?event, "event");
        }
        let mut line = serde_json::to_vec(event).expect("every event has a JSON form");
        line.push(b'\n');
        let mut out = self.out.lock();
        let sent = out.write_all(&line).and_then(|()| out.flush());
        sent.is_ok()
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

/// The commands that use a session and listen.
#[derive(Default)]
pub(crate) struct Listeners {
    listening: Mutex<Vec<Events>>,
    warnings: Mutex<Vec<String>>,
}

impl Listeners {
    /// One more, who hears from now on what is said to all.
    pub(crate) fn add(&self, stream: &UnixStream) {
        match stream.try_clone() {
            Ok(stream) => self.listening.lock().push(Events::to(stream)),
            Err(error) => tracing::warn!(%error, "a command is told nothing"),
        }
    }

    /// Tells all, and forgets those that are gone.
    pub(crate) fn emit(&self, event: &Event) {
        self.listening.lock().retain(|user| user.emit(event));
    }

    /// The warnings since the last call.
    pub(crate) fn take_warnings(&self) -> Vec<String> {
        mem::take(&mut self.warnings.lock())
    }
}

impl Voice for Listeners {
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

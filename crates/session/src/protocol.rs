//! What the background process and the commands say to each other: one JSON object a line.
//!
//! A command connects to the control socket, writes one [`Request`], and reads [`Event`]s until a
//! last one, which is no note, warning or progress. While starting, the background process writes the same events to
//! its standard output.

use larder_local::people::{Blame, Progress};
use serde::{Deserialize, Serialize};

use crate::facts::Job;

/// What a command wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Say what runs.
    Status,
    /// Use the session too. The next `down` then only ends that use.
    Attach,
    /// Use the session as long as this connection is open. If it closes without another byte, the `run`
    /// that opened it was killed, and that counts as its `Down`.
    Hold,
    /// End the session.
    Down {
        /// Save nothing.
        discard: bool,
    },
}

/// What the background process says.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// A sentence for people.
    Note(String),
    /// A sentence about something that went wrong and did not stop the job.
    Warning(String),
    /// How far a long phase is.
    Progress(Progress),
    /// The engine answers, or the session is what it says.
    Running(Box<Job>),
    /// Something that the session cannot go on without has ended, as a sentence. Nothing will be saved.
    Broken(String),
    /// The session goes on, because others use it.
    StaysUp {
        /// How many others.
        others: usize,
    },
    /// The session has ended.
    Ended(Box<Job>),
    /// The session could not start, or could not be brought down in order.
    Failed(Failed),
}

/// Why a session could not start or end, as the command that asked for it will say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// Who can mend it.
    pub blame: Blame,
    /// What happened, with the value at fault and the cure.
    pub message: String,
}

//! What the background process and the commands say to each other: one JSON object a line.
//!
//! A command connects to the control socket, writes a [`Request`], and reads [`Event`]s until a
//! last one, which is no note, warning or progress. The connection of an [`Request::Attach`] is that
//! command's use of the session, and goes on: more requests may follow on it. The command that starts a
//! session has such a connection from the first moment: it is the background process's standard input, on
//! which the [`JobRequest`](crate::JobRequest) stands before everything else.

use std::time::Duration;

use larder_local::people::{Blame, Progress};
use serde::{Deserialize, Serialize};

use crate::facts::Job;
use crate::settings::Wanted;

/// What a command wants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Say what runs.
    Status,
    /// Use the session, as long as this connection is open. If it closes without a further request, the
    /// command that opened it was killed, and that counts as its `Down`.
    Attach(Wanted),
    /// The use of this connection is to last until somebody's `Down`: `up` has done what it should.
    Keep,
    /// End a use of the session: that of this connection, else one that was kept. The last one ends the
    /// session.
    Down {
        /// Save nothing.
        discard: bool,
        /// How long ending may take; what is not stored by then is not published.
        within: Option<Duration>,
        /// What the session must be for. Without it any will do.
        of: Option<Wanted>,
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
    /// The session is for something else than what is wanted.
    Other(Box<Job>),
    /// Another process has the state directory: a session that starts or ends, or who clears up after one.
    Busy,
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

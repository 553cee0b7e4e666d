//! What can go wrong with an engine, each with the value at fault and the cure.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use larder_docker::{ApiError, UnknownValue};

/// An engine that cannot be found, started, reached or replaced.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// A program that the engine needs is not installed.
    #[error("`{program}` was not found; install the package {package}")]
    ProgramMissing {
        /// The program's name.
        program: &'static str,
        /// The packages that hold it, as a sentence part.
        package: &'static str,
    },
    /// A program ran and refused.
    #[error("`{command}` failed ({status}): {message}")]
    ToolFailed {
        /// The command line.
        command: String,
        /// How it ended.
        status: String,
        /// What it wrote to standard error.
        message: String,
    },
    /// The machine, as a rule a container, does not let us do what an engine must.
    #[error("{what} ({why}): start this container with --privileged")]
    Forbidden {
        /// What cannot be done.
        what: &'static str,
        /// The system's answer.
        why: String,
    },
    /// An ordinary user cannot have podman's storage.
    #[error(
        "user {uid} cannot have podman's storage: {why}; root can (--podman-user root, and sudo -E podman)"
    )]
    NoRootless {
        /// The user's number.
        uid: u32,
        /// What is missing, and its cure.
        why: String,
    },
    /// A program gave no answer, and was killed.
    #[error("`{command}`: {why}; is what it waits for in order on this machine?")]
    ToolHangs {
        /// The command line.
        command: String,
        /// Which limit it broke.
        why: String,
    },
    /// A program's version text has an unknown form.
    #[error(
        "`{program} --version` answered {answer:?}, which holds no version number; is another program in its place?"
    )]
    UnknownVersion {
        /// The program asked.
        program: String,
        /// Its answer.
        answer: String,
    },
    /// A word that a person or a configuration gave is not one of those known.
    #[error(transparent)]
    UnknownValue(#[from] UnknownValue),
    /// A takeover was asked for, but jobs run on the machine's engine.
    #[error(
        "cannot take over the machine's engine: {reason}; stop it first, or use --engine private"
    )]
    TakeoverRefused {
        /// Why not.
        reason: String,
    },
    /// The administrator holds containers or people back in a way that our engine cannot.
    #[error(
        "`{setting}` is set for the machine's engine, and Larder's {without}: `larder build` works with the \
         machine's engine, and `larder run --optional` runs the command there"
    )]
    SettingRefused {
        /// The key of `daemon.json`.
        setting: &'static str,
        /// What would be without it, as part of a sentence.
        without: &'static str,
    },
    /// A daemon ended while its answer was awaited.
    #[error("{daemon} ended during start ({status}); the end of its log, {log}:\n{tail}", log = .log.display())]
    Died {
        /// Which of the two.
        daemon: &'static str,
        /// How it ended.
        status: String,
        /// Its log file.
        log: PathBuf,
        /// The last lines of the log.
        tail: String,
    },
    /// A daemon runs but does not answer.
    #[error("{daemon} gave no answer within {waited:?}; the end of its log, {log}:\n{tail}", log = .log.display())]
    NoAnswer {
        /// Which of the two.
        daemon: &'static str,
        /// The deadline that passed.
        waited: Duration,
        /// Its log file.
        log: PathBuf,
        /// The last lines of the log.
        tail: String,
    },
    /// The engine's API refused a request or broke off.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The caller is not on the room's thread.
    #[error(
        "this thread shares the {namespace} namespace of the whole process; call it on the thread that unshared it"
    )]
    NotInRoom {
        /// The namespace that should be the thread's own.
        namespace: &'static str,
    },
    /// Every candidate network of the private engine collides with one of the host's.
    #[error(
        "no free /30 network in {range}: the host's routes cover all of it; use --engine takeover"
    )]
    NoFreeNetwork {
        /// The range that was searched.
        range: &'static str,
    },
    /// A file of the system that must be understood was not.
    #[error("cannot read {what} from {path}: {message}", path = .path.display())]
    Malformed {
        /// What was looked for.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// The parser's words.
        message: String,
    },
    /// A volume has something that no volume has which Larder saved.
    #[error("{path} {what}: no volume that was saved has that, so it may be forged", path = .path.display())]
    Forged {
        /// Where.
        path: PathBuf,
        /// What is there, as the rest of a sentence.
        what: String,
    },
    /// The system refused.
    #[error("{action} {path}: {source}", path = .path.display())]
    Io {
        /// What was tried, as the start of a sentence: "cannot read".
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
}

impl EngineError {
    /// For `map_err`: an error of the system on `path`.
    pub fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }

    /// A volume has this, which no volume that Larder saved has; `what` is the rest of a sentence.
    pub fn forged(path: &Path, what: impl Into<String>) -> Self {
        Self::Forged {
            path: path.to_owned(),
            what: what.into(),
        }
    }
}

/// `None` for what is not there.
pub(crate) fn if_there<T>(outcome: io::Result<T>) -> io::Result<Option<T>> {
    match outcome {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        outcome => outcome.map(Some),
    }
}

/// The result of most calls here.
pub(crate) type Result<T, E = EngineError> = std::result::Result<T, E>;

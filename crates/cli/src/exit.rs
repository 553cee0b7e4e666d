//! Failures and exit codes: the kind of a failure decides the code.
//!
//! | code | meaning |
//! |---|---|
//! | 0 | done |
//! | 1 | Larder itself failed (with `--strict`, also where it would only have warned) |
//! | 2 | the input is wrong: an option, a setting, a file |
//! | 3 | the machine lacks something that Larder needs |
//! | any | `run`: the exit code of the command, 128 + the signal that ended it, 126 or 127 if it could not be started; `build`: that of `docker build` |

use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitCode, ExitStatus};

use larder_archive::ArchiveError;
use larder_builds::Fault;
use larder_docker::UnknownValue;
use larder_engine::EngineError;
use larder_local::people::Blame;
use larder_session::SessionError;
use larder_session::protocol::Failed;
use larder_store::StoreError;
use rustix::process::Signal;

/// Whose fault it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Ours, the store's or the engine's.
    Failed,
    /// What was typed or configured.
    Input,
    /// The machine lacks something.
    Machine,
    /// Nobody's: this signal came.
    Signal(i32),
}

/// A failure that ends a command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Failure {
    /// Whose fault it is.
    pub kind: Kind,
    /// What happened, with the value at fault and the cure.
    pub message: String,
}

/// The result of a command.
pub(crate) type Done<T = ExitCode> = Result<T, Failure>;

impl Failure {
    /// A failure of Larder itself.
    pub(crate) fn failed(message: impl ToString) -> Self {
        Self::new(Kind::Failed, message)
    }

    /// Wrong input.
    pub(crate) fn input(message: impl ToString) -> Self {
        Self::new(Kind::Input, message)
    }

    /// A signal that ended the work.
    pub(crate) fn interrupted(signal: Signal) -> Self {
        let kind = Kind::Signal(signal.as_raw());
        Self::new(kind, "ended by a signal")
    }

    #[allow(clippy::needless_pass_by_value)] // errors come by value, as `map_err` hands them over
    fn new(kind: Kind, message: impl ToString) -> Self {
        Self {
            kind,
            message: message.to_string(),
        }
    }

    /// The exit code.
    pub(crate) fn code(&self) -> ExitCode {
        ExitCode::from(match self.kind {
            Kind::Failed => 1,
            Kind::Input => 2,
            Kind::Machine => 3,
            Kind::Signal(number) => u8::try_from(128 + number).unwrap_or(1),
        })
    }
}

impl From<Blame> for Kind {
    fn from(blame: Blame) -> Self {
        match blame {
            Blame::Ours => Self::Failed,
            Blame::Input => Self::Input,
            Blame::Machine => Self::Machine,
        }
    }
}

impl From<Failed> for Failure {
    fn from(failed: Failed) -> Self {
        Self::new(failed.blame.into(), failed.message)
    }
}

impl From<SessionError> for Failure {
    fn from(error: SessionError) -> Self {
        Self::new(error.blame().into(), error)
    }
}

impl From<ArchiveError> for Failure {
    fn from(error: ArchiveError) -> Self {
        Self::new(error.blame().into(), error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        SessionError::from(error).into()
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        SessionError::from(error).into()
    }
}

impl From<UnknownValue> for Failure {
    fn from(error: UnknownValue) -> Self {
        Self::input(error)
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::new(fault.blame.into(), fault)
    }
}

/// With `--strict`, a job that could not be saved has failed.
pub(crate) fn strictly(strict: bool, trouble: Option<&str>) -> Done<()> {
    match trouble {
        Some(why) if strict => Err(Failure::failed(format!("nothing saved: {why} (--strict)"))),
        _ => Ok(()),
    }
}

/// A command's exit code, as a shell has it.
pub(crate) fn code_of(status: ExitStatus) -> u8 {
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

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

/// The exit code of a machine that lacks something.
pub const LACKING: u8 = 3;

/// A failure that ends a command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// The exit code.
    pub code: u8,
    /// What happened, with the value at fault and the cure.
    pub message: String,
}

/// What a step of a command came to; of a whole command, its exit code.
pub type Done<T = ExitCode> = Result<T, Failure>;

impl Failure {
    /// Larder itself failed.
    pub fn failed(message: impl ToString) -> Self {
        Self::new(Blame::Ours, message)
    }

    /// The input is wrong.
    pub fn input(message: impl ToString) -> Self {
        Self::new(Blame::Input, message)
    }

    /// A signal that ended the work.
    pub fn interrupted(signal: Signal) -> Self {
        Self {
            code: u8::try_from(128 + signal.as_raw()).unwrap_or(1),
            message: "ended by a signal".to_owned(),
        }
    }

    #[allow(clippy::needless_pass_by_value)] // errors come by value, as `map_err` hands them over
    fn new(blame: Blame, message: impl ToString) -> Self {
        Self {
            code: match blame {
                Blame::Ours => 1,
                Blame::Input => 2,
                Blame::Machine => LACKING,
            },
            message: message.to_string(),
        }
    }
}

impl From<Failed> for Failure {
    fn from(failed: Failed) -> Self {
        Self::new(failed.blame, failed.message)
    }
}

impl From<SessionError> for Failure {
    fn from(error: SessionError) -> Self {
        Self::new(error.blame(), error)
    }
}

impl From<ArchiveError> for Failure {
    fn from(error: ArchiveError) -> Self {
        Self::new(error.blame(), error)
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
        Self::new(fault.blame, fault)
    }
}

/// With `--strict`, a job that could not be saved has failed.
pub fn strictly(strict: bool, trouble: Option<&str>) -> Done<()> {
    match trouble {
        Some(why) if strict => Err(Failure::failed(format!("nothing saved: {why} (--strict)"))),
        _ => Ok(()),
    }
}

/// A command's exit code, as a shell has it.
pub fn code_of(status: ExitStatus) -> u8 {
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

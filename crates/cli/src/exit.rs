//! Failures and exit codes: the kind of a failure decides the code.
//!
//! | code | meaning |
//! |---|---|
//! | 0 | done |
//! | 1 | Larder itself failed (with `--strict`, also where it would only have warned) |
//! | 2 | the input is wrong: an option, a setting, a file |
//! | 3 | the machine lacks something that Larder needs |
//! | any | `run`: the exit code of the command, 128 + the signal that ended it, 126 or 127 if it could not be started; `build`: that of `docker build` |

use std::process::ExitCode;

use larder_builds::{Fault, FaultKind};
use larder_engine::EngineError;
use larder_store::StoreError;
use larder_volume::VolumeError;
use rustix::process::Signal;
use serde::{Deserialize, Serialize};

/// Whose fault it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
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
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{message}")]
pub struct Failure {
    /// Whose fault it is.
    pub kind: Kind,
    /// What happened, with the value at fault and the cure.
    pub message: String,
}

/// The result of a command.
pub type Done<T = ExitCode> = Result<T, Failure>;

impl Failure {
    /// A failure of Larder itself.
    pub fn failed(message: impl ToString) -> Self {
        Self::new(Kind::Failed, message)
    }

    /// Wrong input.
    pub fn input(message: impl ToString) -> Self {
        Self::new(Kind::Input, message)
    }

    /// Something that the machine lacks.
    pub fn machine(message: impl ToString) -> Self {
        Self::new(Kind::Machine, message)
    }

    /// A signal that ended the work.
    pub fn interrupted(signal: Signal) -> Self {
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
    pub fn code(&self) -> ExitCode {
        ExitCode::from(match self.kind {
            Kind::Failed => 1,
            Kind::Input => 2,
            Kind::Machine => 3,
            Kind::Signal(number) => u8::try_from(128 + number).unwrap_or(1),
        })
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        match fault.kind {
            FaultKind::Input => Self::input(fault),
            FaultKind::Missing => Self::machine(fault),
            FaultKind::Failed => Self::failed(fault),
        }
    }
}

impl From<VolumeError> for Failure {
    fn from(error: VolumeError) -> Self {
        match error {
            VolumeError::Missing { .. } => Self::machine(error),
            _ => Self::failed(error),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Location { .. } => Self::input(error),
            _ => Self::failed(error),
        }
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::UnknownValue { .. } => Self::input(error),
            EngineError::ProgramMissing { .. } | EngineError::TakeoverRefused { .. } => {
                Self::machine(error)
            }
            _ => Self::failed(error),
        }
    }
}

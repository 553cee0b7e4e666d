//! The machine's own engine: what it is doing, and what that means for ours.
//!
//! Looking must not wake it: a client that connects to a socket which systemd holds starts the
//! service. So the service manager is asked first, and the socket only if it says that the service
//! runs or knows nothing.

use std::io::ErrorKind;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use larder_docker::{ApiError, Endpoint, running_containers};

use super::takeover::Units;
use crate::error::{EngineError, Result};
use crate::shape::{Asked, Choice, Shape};

/// An engine that has not answered by then is taken for hung: an idle one answers in milliseconds.
const ANSWER_DEADLINE: Duration = Duration::from_secs(5);

/// What the machine's engine does now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SystemEngine {
    /// There is none.
    Absent,
    /// Its service is known and does not run; clients may be able to start it.
    Stopped,
    /// It runs as a service and has no running container.
    Idle,
    /// It runs as a service, and so do these containers, which may be the job's own.
    Busy {
        /// How many.
        containers: usize,
    },
    /// Somebody else than systemd started it, so it could be stopped but not given back.
    Unmanaged {
        /// How many containers run.
        containers: usize,
    },
    /// It takes connections and does not answer, or systemd does not.
    Hung,
    /// Another Larder is in its place, or on its way there.
    Taken,
}

/// Looks at the engine behind `socket`, usually [`larder_docker::USUAL_SOCKET`].
pub async fn observe(socket: &Path) -> Result<SystemEngine> {
    let Units {
        socket: listening,
        service,
    } = match Units::read() {
        // What cannot be asked can be stopped even less.
        Err(EngineError::ToolHangs { .. }) => return Ok(SystemEngine::Hung),
        units => units?,
    };
    if service != Some(true) && listening == Some(true) {
        return Ok(SystemEngine::Stopped);
    }
    match UnixStream::connect(socket) {
        Ok(_) => {}
        // A stale file; or none, as where the engine listens on TCP alone.
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::NotFound | ErrorKind::ConnectionRefused
            ) =>
        {
            return Ok(match service {
                Some(true) => SystemEngine::Hung,
                Some(false) => SystemEngine::Stopped,
                None => SystemEngine::Absent,
            });
        }
        Err(error) => return Err(EngineError::io("cannot connect to", socket)(error)),
    }
    // Live-restore makes no difference: it keeps running containers through a stop, and an engine with
    // none has nothing to keep.
    let containers = match running_containers(Endpoint::unix(socket), ANSWER_DEADLINE).await {
        Err(ApiError::NoAnswer { .. }) => return Ok(SystemEngine::Hung),
        counted => counted?,
    };
    Ok(match (service, containers) {
        (Some(true), 0) => SystemEngine::Idle,
        (Some(true), containers) => SystemEngine::Busy { containers },
        _ => SystemEngine::Unmanaged { containers },
    })
}

/// Which shape ours takes, and why. Refuses a takeover that would end somebody's containers.
pub fn choose(asked: Asked, system: &SystemEngine) -> Result<Choice> {
    let free = match system {
        SystemEngine::Absent => Ok("the machine has no engine"),
        SystemEngine::Stopped => Ok("the machine's engine is not running"),
        SystemEngine::Idle => Ok("the machine's engine is idle"),
        SystemEngine::Busy { containers } => {
            Err(format!("{} on the machine's engine", running(*containers)))
        }
        SystemEngine::Unmanaged { containers: 0 } => Err(
            "the machine's engine is not a systemd service, so it could not be started again"
                .to_owned(),
        ),
        SystemEngine::Unmanaged { containers } => Err(format!(
            "{} on an engine that is not a systemd service",
            running(*containers)
        )),
        SystemEngine::Taken => {
            Err("another session is in the place of the machine's engine".to_owned())
        }
        SystemEngine::Hung => {
            Err("the machine's engine, or systemd, did not answer in time".to_owned())
        }
    };
    let (shape, reason) = match (asked, free) {
        (Asked::Private, _) => (Shape::Private, "asked for".to_owned()),
        (Asked::Auto | Asked::Takeover, Ok(reason)) => (Shape::Takeover, reason.to_owned()),
        (Asked::Auto, Err(reason)) => (Shape::Private, reason),
        (Asked::Takeover, Err(reason)) => return Err(EngineError::TakeoverRefused { reason }),
    };
    Ok(Choice { shape, reason })
}

fn running(containers: usize) -> String {
    match containers {
        1 => "1 container runs".to_owned(),
        count => format!("{count} containers run"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evidence_decides_and_force_is_checked() {
        let taken = [
            SystemEngine::Absent,
            SystemEngine::Stopped,
            SystemEngine::Idle,
        ];
        let left = [
            SystemEngine::Busy { containers: 2 },
            SystemEngine::Unmanaged { containers: 0 },
            SystemEngine::Hung,
            SystemEngine::Taken,
        ];
        for system in &taken {
            assert_eq!(
                choose(Asked::Auto, system).expect("chosen").shape,
                Shape::Takeover
            );
            assert_eq!(
                choose(Asked::Private, system).expect("chosen").shape,
                Shape::Private
            );
        }
        for system in &left {
            assert_eq!(
                choose(Asked::Auto, system).expect("chosen").shape,
                Shape::Private
            );
            let refused = choose(Asked::Takeover, system)
                .expect_err("refused")
                .to_string();
            assert!(refused.contains("--engine private"), "{refused}");
        }
        let busy = choose(Asked::Auto, &left[0]).expect("chosen");
        assert_eq!(busy.reason, "2 containers run on the machine's engine");
    }
}

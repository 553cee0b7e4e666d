//! The machine's own engine: what it is doing, and what that means for ours.
//!
//! Looking must not wake it: a client that connects to a socket which systemd holds starts the
//! service. So the service manager is asked first, and the socket only if it says that the service
//! runs or knows nothing.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use larder_docker::{ApiError, Endpoint, running_containers};

use super::takeover::Units;
use crate::error::{EngineError, Result};
use crate::network::HostNetwork;
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
    /// One that neither this socket nor a service leads to works in this network: a container's, or one of
    /// the machine that a container does not see.
    Unseen,
    /// Nothing of that kind works, but what one made is in this network.
    Traces,
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
        return stopped();
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
            return match service {
                Some(true) => Ok(SystemEngine::Hung),
                Some(false) => stopped(),
                None => absent(),
            };
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

fn stopped() -> Result<SystemEngine> {
    Ok(if works_unseen()? {
        SystemEngine::Unseen
    } else {
        SystemEngine::Stopped
    })
}

fn absent() -> Result<SystemEngine> {
    Ok(if works_unseen()? {
        SystemEngine::Unseen
    } else if HostNetwork::observe()?.has_traces() {
        SystemEngine::Traces
    } else {
        SystemEngine::Absent
    })
}

/// Whether an engine works in this network namespace, wherever its files and processes are. A second one would
/// empty its chains. Each listens on a socket in a folder of its exec-root (moby
/// `daemon/libnetwork/sandbox_externalkey_unix.go`, `startExternalKeyListener`), and the kernel lists
/// sockets by network namespace (proc(5), `/proc/net/unix`).
fn works_unseen() -> Result<bool> {
    let path = Path::new("/proc/thread-self/net/unix");
    let sockets = fs::read_to_string(path).map_err(EngineError::io("cannot read", path))?;
    Ok(sockets.lines().any(is_of_an_engine))
}

/// `0000000000000000: 00000002 00000000 00010000 0001 01 4711 /run/docker/libnetwork/0f3c….sock`: the fourth word
/// says that it listens (Linux `include/linux/net.h`, `__SO_ACCEPTCON`).
fn is_of_an_engine(socket: &str) -> bool {
    let words: Vec<&str> = socket.split_whitespace().collect();
    let [_, _, _, "00010000", _, _, _, path] = words[..] else {
        return false;
    };
    let folder = Path::new(path).parent();
    folder.is_some_and(|folder| folder.ends_with("libnetwork"))
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
        SystemEngine::Unseen => Err(
            "an engine that is not seen from here works in this network, and would lose its rules"
                .to_owned(),
        ),
        // Who knows that they are nobody's may say so.
        SystemEngine::Traces if asked == Asked::Takeover => Ok("asked for"),
        SystemEngine::Traces => Err(
            "bridges or rules of an engine that is not seen from here are in this network"
                .to_owned(),
        ),
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
            SystemEngine::Unseen,
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
        let traces = |asked| choose(asked, &SystemEngine::Traces).expect("chosen").shape;
        assert_eq!(traces(Asked::Auto), Shape::Private);
        assert_eq!(traces(Asked::Takeover), Shape::Takeover);
        let busy = choose(Asked::Auto, &left[0]).expect("chosen");
        assert_eq!(busy.reason, "2 containers run on the machine's engine");
    }

    #[test]
    fn only_a_listening_engine_counts() {
        let listens =
            "0000000000000000: 00000002 00000000 00010000 0001 01 4711 /run/d/libnetwork/0f.sock";
        assert!(is_of_an_engine(listens));
        for other in [
            "0000000000000000: 00000003 00000000 00000000 0001 03 4711 /run/d/libnetwork/0f.sock",
            "0000000000000000: 00000002 00000000 00010000 0001 01 4711 /run/docker.sock",
            "0000000000000000: 00000002 00000000 00010000 0001 01 4711",
            "Num       RefCount Protocol Flags    Type St Inode Path",
        ] {
            assert!(!is_of_an_engine(other), "{other}");
        }
    }
}

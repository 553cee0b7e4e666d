//! Whose fault it is that a restored volume did not come up: a machine's own trouble never takes a snapshot from
//! others.

use larder_engine::EngineError;
use larder_model::mark::Fault;
use larder_volume::VolumeError;

use super::parts::Trouble;
use crate::SessionError;

/// What a failure says about the snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Stored data is damaged, or was never saved by an honest job.
    Damaged,
    /// It may be the snapshot, if an empty volume comes up on the same machine.
    Suspect,
    /// Its volume is full. It is whole, but nobody can use it: a job may start empty and take its place.
    Full,
    /// Nothing: the store, the machine or whoever ended the engine.
    Unknown,
}

impl Verdict {
    pub(super) fn on(stopped: &Trouble) -> Self {
        match &stopped.fault {
            Some(fault) if fault.damage => Self::Damaged,
            Some(_) => Self::Unknown,
            None if stopped.is_full => Self::Full,
            None => Self::on_failure(&stopped.failure),
        }
    }

    fn on_failure(failure: &SessionError) -> Self {
        match failure {
            // It says the same to everybody.
            SessionError::Engine(EngineError::Forged { .. }) | SessionError::Forged(_) => {
                Self::Damaged
            }
            SessionError::Volume(VolumeError::Io { what, .. })
                if what.starts_with("mount ext4") =>
            {
                Self::Suspect
            }
            SessionError::Engine(EngineError::Died { status, tail, .. })
                if failed_by_itself(status, tail) =>
            {
                Self::Suspect
            }
            _ => Self::Unknown,
        }
    }

    /// The mark that the snapshot gets.
    pub(super) fn mark(self) -> Option<Fault> {
        match self {
            Self::Damaged => Some(Fault::Damage),
            Self::Suspect => Some(Fault::Start),
            Self::Full | Self::Unknown => None,
        }
    }

    /// Whether others may start from the snapshot all the same. Then it stays the newest.
    pub(super) fn leaves_it_to_others(self) -> bool {
        matches!(self, Self::Suspect | Self::Unknown)
    }
}

/// Whether a daemon gave up, and was not ended: by a signal, which it may have caught (dockerd
/// `daemon/command/docker.go` and containerd `cmd/containerd/command/main_unix.go` log that), by a full disk, or
/// because somebody ended the other one.
fn failed_by_itself(status: &str, tail: &str) -> bool {
    const ENDED: [&str; 5] = [
        "Processing signal",
        "signal=",
        "received signal",
        "context canceled",
        "no space left on device",
    ];
    let failed = status.strip_prefix("exit status: ");
    failed.is_some_and(|code| code != "0") && !ENDED.iter().any(|words| tail.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_daemon_that_gave_up_is_held_against_a_snapshot() {
        let died = |status: &str, tail: &str| {
            Verdict::on_failure(&SessionError::Engine(EngineError::Died {
                daemon: "dockerd",
                status: status.to_owned(),
                log: "/run/larder/x/dockerd.log".into(),
                tail: tail.to_owned(),
            }))
        };
        let failed = "failed to start daemon: error initializing graphdriver: layer is corrupt";
        assert_eq!(died("exit status: 1", failed), Verdict::Suspect);
        for (status, tail) in [
            ("exit status: 0", failed),
            ("signal: 9 (SIGKILL)", failed),
            (
                "exit status: 1",
                "level=info msg=\"Processing signal 'terminated'\"",
            ),
            ("exit status: 1", "write /run/x: no space left on device"),
        ] {
            assert_eq!(died(status, tail), Verdict::Unknown, "{status}: {tail}");
        }
        assert_eq!(
            Verdict::on_failure(&SessionError::EndedEarly),
            Verdict::Unknown
        );
        assert_eq!(Verdict::Unknown.mark(), None);
    }
}

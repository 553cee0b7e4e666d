//! One daemon that we started: its handle, its log, its end.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::error::{EngineError, Result};
use crate::machine::process::{Identity, has_ended};

/// How much of a log an error quotes.
const TAIL_LINES: usize = 12;
const TAIL_BYTES: u64 = 8 * 1024;

/// How long the end of a process may take after SIGKILL before it is given up as stuck.
const KILL_GRACE: Duration = Duration::from_secs(5);

/// How often a running daemon is looked at while its end is awaited: the longer that takes, the more rarely. Its
/// end is noticed late by a twentieth of that time, at most by the second of these.
const LOOK_INTERVAL: Duration = Duration::from_millis(1);
const LOOK_INTERVAL_MAX: Duration = Duration::from_millis(50);
const LATE_BY: u32 = 20;

/// How a daemon ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// Not at all: SIGKILL was sent and the process is still there, as on a disk that hangs.
    Stuck,
}

impl From<ExitStatus> for Exit {
    fn from(status: ExitStatus) -> Self {
        match (status.code(), status.signal()) {
            (Some(code), _) => Self::Code(code),
            (None, Some(signal)) => Self::Signal(signal),
            // wait(2) reports one of the two for a process that has ended.
            (None, None) => Self::Stuck,
        }
    }
}

/// As the rest of a sentence about a daemon.
impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "ended with exit code {code}"),
            Self::Signal(signal) => write!(f, "was ended by signal {signal}"),
            Self::Stuck => f.pad("does not end"),
        }
    }
}

/// A running daemon.
#[derive(Debug)]
pub struct Daemon {
    pub(super) name: &'static str,
    log: PathBuf,
    child: Child,
    handle: OwnedFd,
}

impl Daemon {
    /// Starts `command` with its output in `log`.
    pub fn spawn(name: &'static str, mut command: Command, log: &Path) -> Result<Self> {
        let file = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .mode(0o600)
            .open(log)
            .and_then(|file| Ok((file.try_clone()?, file)));
        let (again, file) = file.map_err(EngineError::io("cannot write the log", log))?;
        let program = PathBuf::from(command.get_program());
        let mut child = command
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(again)
            .spawn()
            .map_err(EngineError::io("cannot start", &program))?;
        match pidfd_open(Pid::from_child(&child), PidfdFlags::empty()) {
            Ok(handle) => Ok(Self {
                name,
                log: log.to_owned(),
                child,
                handle,
            }),
            Err(errno) => {
                // Without a handle nothing could be awaited; kernels before 5.3 have none.
                let ended = child.kill().and_then(|()| child.wait());
                tracing::warn!(?ended, "no process handle, the daemon was ended again");
                Err(EngineError::io(
                    "cannot watch (Linux 5.3 or newer is needed)",
                    &program,
                )(errno.into()))
            }
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn identity(&self) -> Option<Identity> {
        Identity::of(i32::try_from(self.pid()).ok()?)
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap_or_else(|error| {
            tracing::warn!(%error, daemon = self.name, "wait");
            None
        })
    }

    /// An error if it has ended: for use while its answer is awaited.
    pub fn must_run(&mut self) -> Result<()> {
        match self.ended() {
            None => Ok(()),
            Some(status) => Err(EngineError::Died {
                daemon: self.name,
                status: status.to_string(),
                log: self.log.clone(),
                tail: tail(&self.log),
            }),
        }
    }

    /// Why it is given up that did not answer for so long.
    pub fn no_answer(&self, waited: Duration) -> EngineError {
        EngineError::NoAnswer {
            daemon: self.name,
            waited,
            log: self.log.clone(),
            tail: tail(&self.log),
        }
    }

    /// Resolves when it ends. Its exit is then there for [`Daemon::ended`].
    pub async fn end(&self) {
        // A look costs a microsecond; registering the handle with the runtime would need `unsafe`.
        let began = Instant::now();
        while !has_ended(&self.handle, Duration::ZERO) {
            let pause = began.elapsed() / LATE_BY;
            tokio::time::sleep(pause.clamp(LOOK_INTERVAL, LOOK_INTERVAL_MAX)).await;
        }
    }

    /// Sends a signal; whoever is gone gets none.
    pub(crate) fn signal(&self, signal: Signal) {
        // It fails only when the process has ended, which the caller learns by waiting.
        if let Err(error) = pidfd_send_signal(&self.handle, signal) {
            tracing::debug!(daemon = self.name, %error, "signal");
        }
    }

    /// SIGKILL, without waiting for its end.
    pub fn kill(&self) {
        self.signal(Signal::KILL);
    }

    /// Its children inherit the score; it has none yet. `None` leaves it this process's.
    pub fn set_oom_score(&self, score: Option<&str>) {
        let Some(score) = score else {
            return;
        };
        if let Err(error) = std::fs::write(format!("/proc/{}/oom_score_adj", self.pid()), score) {
            tracing::debug!(%error, "the daemon keeps our OOM score");
        }
    }

    /// SIGTERM, then after the deadline SIGKILL. Answers the exit and whether it had to be killed.
    pub async fn terminate(&mut self, deadline: Duration) -> (Exit, bool) {
        if let Some(status) = self.ended() {
            return (status.into(), false);
        }
        self.signal(Signal::TERM);
        if let Some(status) = self.ended_within(deadline).await {
            return (status.into(), false);
        }
        tracing::warn!(daemon = self.name, ?deadline, "ignored SIGTERM, killing it");
        self.signal(Signal::KILL);
        let killed = self.ended_within(KILL_GRACE).await;
        (killed.map_or(Exit::Stuck, Exit::from), true)
    }

    async fn ended_within(&mut self, deadline: Duration) -> Option<ExitStatus> {
        tokio::time::timeout(deadline, self.end()).await.ok()?;
        self.ended()
    }
}

/// A daemon never outlives its owner: one that was not terminated is killed.
impl Drop for Daemon {
    fn drop(&mut self) {
        if self.ended().is_some() {
            return;
        }
        self.signal(Signal::KILL);
        if !has_ended(&self.handle, KILL_GRACE) || self.ended().is_none() {
            tracing::warn!(daemon = self.name, "still there after SIGKILL");
        }
    }
}

/// The last lines of a log, for an error message.
fn tail(log: &Path) -> String {
    let bytes = match last_bytes(log) {
        Ok(bytes) => bytes,
        Err(error) => return format!("  (the log cannot be read: {error})"),
    };
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<String> = text.lines().map(|line| format!("  {line}")).collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}

fn last_bytes(log: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(log)?;
    let start = file.metadata()?.len().saturating_sub(TAIL_BYTES);
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_that_ignores_sigterm_is_killed_and_said_so() {
        let directory = tempfile::tempdir().expect("a directory");
        let log = directory.path().join("log");
        let mut command = Command::new("sh");
        command.args([
            "-c",
            "trap '' TERM; echo ready; while :; do sleep 0.05; done",
        ]);
        let mut daemon = Daemon::spawn("stubborn", command, &log).expect("sh starts");
        while tail(&log).trim() != "ready" {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let (exit, killed) = daemon.terminate(Duration::from_millis(100)).await;
        assert_eq!((exit, killed), (Exit::Signal(9), true));
    }

    #[tokio::test]
    async fn an_early_end_quotes_the_log() {
        let directory = tempfile::tempdir().expect("a directory");
        let log = directory.path().join("log");
        let mut command = Command::new("sh");
        command.args(["-c", "seq 1 40; exit 3"]);
        let mut daemon = Daemon::spawn("brief", command, &log).expect("sh starts");
        daemon.end().await;
        let error = daemon.must_run().expect_err("it has ended").to_string();
        assert!(
            error.contains("brief ended during start (exit status: 3)"),
            "{error}"
        );
        assert!(
            error.ends_with("  39\n  40") && !error.contains("  28\n"),
            "{error}"
        );
        assert_eq!(
            daemon.terminate(Duration::ZERO).await,
            (Exit::Code(3), false)
        );
    }
}

//! Processes that this one did not start, or started in an earlier life: naming them without
//! mistaking a stranger for them, and ending them.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{AtFlags, CWD, StatxFlags, statx};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

/// A process for as long as this boot lasts: pids are reused, a pid with its start time is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Identity {
    /// The process id.
    pub pid: i32,
    /// Field 22 of `/proc/<pid>/stat` (proc(5)): clock ticks from boot to the process's start.
    pub started_ticks: u64,
}

impl Identity {
    /// The process that has this pid now.
    pub fn of(pid: i32) -> Option<Self> {
        stat_of(pid).map(|stat| Self {
            pid,
            started_ticks: stat.started_ticks,
        })
    }

    /// Is it still there?
    pub(crate) fn is_alive(self) -> bool {
        Self::of(self.pid) == Some(self)
    }

    /// Was it killed and cannot end, because one of its threads is in uninterruptible sleep? The
    /// first thread is a zombie then and others are not. A process that is just ending looks the
    /// same for a moment.
    pub fn is_stuck(self) -> bool {
        let folder = format!("/proc/{}", self.pid);
        let stat = fs::read(format!("{folder}/stat")).unwrap_or_default();
        let is_zombie = parse_stat(&stat)
            .is_some_and(|stat| stat.is_zombie && stat.started_ticks == self.started_ticks);
        is_zombie && fs::read_dir(format!("{folder}/task")).is_ok_and(|tasks| tasks.count() > 1)
    }

    /// Sends it SIGTERM.
    pub fn terminate(self) {
        if let Some(process) = self.open()
            && let Err(error) = pidfd_send_signal(process, Signal::TERM)
        {
            tracing::debug!(pid = self.pid, %error, "ended before the signal");
        }
    }

    /// A handle that cannot come to mean another process. `None` when it has ended.
    fn open(self) -> Option<OwnedFd> {
        let handle = pidfd_open(Pid::from_raw(self.pid)?, PidfdFlags::empty()).ok()?;
        // The pid may have been reused before the handle was opened, not after.
        self.is_alive().then_some(handle)
    }
}

pub(crate) struct Stat {
    is_zombie: bool,
    pub parent: i32,
    /// The process that began its session (setsid(2)), which may have ended.
    pub session: i32,
    pub started_ticks: u64,
}

/// Reads `/proc/<pid>/stat`. A zombie has ended: it holds nothing and waits for its parent only, so
/// it is `None` like one that is gone.
pub(crate) fn stat_of(pid: i32) -> Option<Stat> {
    let text = fs::read(format!("/proc/{pid}/stat")).ok()?;
    parse_stat(&text).filter(|stat| !stat.is_zombie)
}

/// The second field is the program's name in parentheses and may
/// hold spaces and parentheses itself, so counting starts after the last one.
fn parse_stat(text: &[u8]) -> Option<Stat> {
    let end = text.iter().rposition(|&b| b == b')')?;
    let rest = String::from_utf8_lossy(text.get(end + 2..)?);
    // The first field of the rest is field 3.
    let mut fields = rest.split(' ');
    Some(Stat {
        is_zombie: matches!(fields.next()?, "Z" | "X"),
        parent: fields.next()?.parse().ok()?,
        session: fields.nth(1)?.parse().ok()?,
        started_ticks: fields.nth(15)?.parse().ok()?,
    })
}

/// The processes of the session that `leader` began with setsid(2), dead or alive. As long as one of them
/// lives the leader's number is nobody else's.
pub(crate) fn session_of(leader: Identity) -> Vec<i32> {
    if Identity::of(leader.pid).is_some_and(|now| now != leader) {
        return Vec::new();
    }
    let mut members = others();
    members.retain(|&pid| {
        let stat = stat_of(pid);
        stat.is_some_and(|stat| {
            stat.session == leader.pid && stat.started_ticks >= leader.started_ticks
        })
    });
    members
}

/// The program that a process started last and that still runs: its name, and the first word after it that
/// is no option.
pub fn newest_child(of: Identity) -> Option<String> {
    let children = others().into_iter().filter_map(|pid| {
        let stat = stat_of(pid)?;
        (stat.parent == of.pid).then_some((stat.started_ticks, pid))
    });
    let (_, newest) = children.max()?;
    let line = fs::read(format!("/proc/{newest}/cmdline")).ok()?;
    let line = String::from_utf8_lossy(&line);
    let mut words = line.split('\0').filter(|word| !word.is_empty());
    let program = Path::new(words.next()?).file_name()?.to_string_lossy();
    let verb = words.next().filter(|word| !word.starts_with('-'));
    Some(verb.map_or(program.to_string(), |verb| format!("{program} {verb}")))
}

/// The processes that [are stuck](Identity::is_stuck).
pub fn stuck() -> Vec<Identity> {
    let zombies = others().into_iter().filter_map(|pid| {
        let stat = parse_stat(&fs::read(format!("/proc/{pid}/stat")).ok()?)?;
        stat.is_zombie.then_some(Identity {
            pid,
            started_ticks: stat.started_ticks,
        })
    });
    zombies.filter(|process| process.is_stuck()).collect()
}

/// Every process there is, this one excepted.
pub(crate) fn others() -> Vec<i32> {
    let own = i32::try_from(std::process::id()).expect("pids are at most 2^22 (PID_MAX_LIMIT)");
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|&pid| pid != own)
        .collect()
}

/// Sends SIGKILL to all and waits until they have ended; answers those that have not by the
/// deadline (a process in uninterruptible sleep on a dead disk cannot end).
pub(crate) fn kill_all(processes: &[Identity], deadline: Duration) -> Vec<Identity> {
    let until = Instant::now() + deadline;
    let handles: Vec<(Identity, OwnedFd)> = processes
        .iter()
        .filter_map(|process| Some((*process, process.open()?)))
        .collect();
    for (process, handle) in &handles {
        if let Err(error) = pidfd_send_signal(handle, Signal::KILL) {
            tracing::debug!(pid = process.pid, %error, "ended before the signal");
        }
    }
    handles
        .into_iter()
        .filter(|(_, handle)| !has_ended(handle, until.saturating_duration_since(Instant::now())))
        .map(|(process, _)| process)
        .collect()
}

/// Waits for the process behind a pidfd; a pidfd becomes readable when it ends (`pidfd_open(2)`).
pub(crate) fn has_ended(handle: impl AsFd, within: Duration) -> bool {
    let until = Instant::now() + within;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let timeout = Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        };
        match poll(&mut [PollFd::new(&handle, PollFlags::IN)], Some(&timeout)) {
            Ok(0) => return false,
            Ok(_) => return true,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => {
                tracing::warn!(%error, "poll on a process handle");
                return false;
            }
        }
    }
}

/// The device that a path lies on, followed through links. The kernel answers from what it has in
/// memory (`AT_STATX_DONT_SYNC`): asking a FUSE daemon that hangs would hang us too.
pub(crate) fn device_of(path: &Path) -> io::Result<(u32, u32)> {
    let status = statx(CWD, path, AtFlags::STATX_DONT_SYNC, StatxFlags::empty())?;
    Ok((status.stx_dev_major, status.stx_dev_minor))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_process_is_known_by_its_start_and_can_be_ended() {
        let mut child = Command::new("sleep")
            .arg("600")
            .stdin(Stdio::null())
            .spawn()
            .expect("sleep starts");
        let pid = i32::try_from(child.id()).expect("a pid");
        let process = Identity::of(pid).expect("it runs");
        assert!(process.is_alive());
        let stranger = Identity {
            started_ticks: process.started_ticks + 1,
            ..process
        };
        assert!(!stranger.is_alive());
        assert!(kill_all(&[stranger], Duration::from_secs(1)).is_empty());
        assert!(
            child.try_wait().expect("wait works").is_none(),
            "a stranger was killed"
        );
        assert!(others().contains(&pid));
        assert!(kill_all(&[process], Duration::from_secs(60)).is_empty());
        assert!(!process.is_alive(), "a zombie has ended");
        child.wait().expect("it has ended");
    }
}

//! A program that is asked something: its answer, within limits of time and size.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

/// Bytes that are read at once.
const PART_BYTES: usize = 64 << 10;

/// What a program printed, and whether it succeeded.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) success: bool,
    pub(crate) out: Vec<u8>,
    pub(crate) error: Vec<u8>,
}

/// Why a program gave no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoAnswer {
    #[error("it cannot be run: {0}")]
    Io(#[from] io::Error),
    #[error("it did not answer within {} s", .0.as_secs_f32())]
    Late(Duration),
    #[error("it printed more than {0} bytes")]
    Long(usize),
}

/// Runs a program without input and reads what it prints. If that takes too long or is too much, the
/// program and all that it started are killed.
pub(crate) fn ask(
    command: &mut Command,
    deadline: Duration,
    bytes_max: usize,
) -> Result<Answer, NoAnswer> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // docker runs its plugins as processes of their own; a group is ended as a whole.
        .process_group(0)
        .spawn()?;
    let heard = Listener {
        ends: Instant::now() + deadline,
        deadline,
        bytes_max,
    }
    .hear(&mut child);
    if heard.is_err() {
        // It may have ended meanwhile; its pid is kept for it until it is waited for.
        let _ = kill_process_group(Pid::from_child(&child), Signal::KILL);
    }
    let status = child.wait()?;
    let [out, error] = heard?;
    Ok(Answer {
        success: status.success(),
        out,
        error,
    })
}

struct Listener {
    ends: Instant,
    deadline: Duration,
    bytes_max: usize,
}

/// One of a program's outputs.
struct Stream {
    pipe: File,
    bytes: Vec<u8>,
    has_ended: bool,
}

impl Listener {
    /// Reads both outputs to their ends, and waits until the program has ended too.
    fn hear(&self, child: &mut Child) -> Result<[Vec<u8>; 2], NoAnswer> {
        let process = pidfd_open(Pid::from_child(child), PidfdFlags::empty());
        let process = process.map_err(io::Error::from)?;
        let out = child.stdout.take().expect("it is piped");
        let error = child.stderr.take().expect("it is piped");
        let mut streams = [OwnedFd::from(out), OwnedFd::from(error)].map(|pipe| Stream {
            pipe: File::from(pipe),
            bytes: Vec::new(),
            has_ended: false,
        });
        while streams.iter().any(|stream| !stream.has_ended) {
            self.read(&mut streams)?;
        }
        self.wait(&mut [PollFd::new(&process, PollFlags::IN)])?;
        Ok(streams.map(|stream| stream.bytes))
    }

    /// Waits until something was printed, and reads it.
    fn read(&self, streams: &mut [Stream]) -> Result<(), NoAnswer> {
        let mut open: Vec<&mut Stream> = streams
            .iter_mut()
            .filter(|stream| !stream.has_ended)
            .collect();
        let mut polled: Vec<PollFd<'_>> = open
            .iter()
            .map(|stream| PollFd::new(&stream.pipe, PollFlags::IN))
            .collect();
        self.wait(&mut polled)?;
        let ready: Vec<bool> = polled.iter().map(|fd| !fd.revents().is_empty()).collect();
        let mut part = vec![0; PART_BYTES];
        for (stream, _) in open.iter_mut().zip(ready).filter(|(_, ready)| *ready) {
            let length = stream.pipe.read(&mut part)?;
            stream.has_ended = length == 0;
            stream.bytes.extend_from_slice(&part[..length]);
            if stream.bytes.len() > self.bytes_max {
                return Err(NoAnswer::Long(self.bytes_max));
            }
        }
        Ok(())
    }

    fn wait(&self, polled: &mut [PollFd<'_>]) -> Result<(), NoAnswer> {
        loop {
            let left = self.ends.saturating_duration_since(Instant::now());
            let timeout = Timespec {
                tv_sec: left.as_secs().cast_signed(),
                tv_nsec: left.subsec_nanos().into(),
            };
            match poll(polled, Some(&timeout)) {
                Ok(0) => return Err(NoAnswer::Late(self.deadline)),
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(NoAnswer::Io(error.into())),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn shell(script: &str, deadline: Duration, bytes_max: usize) -> Result<Answer, NoAnswer> {
        ask(Command::new("sh").args(["-c", script]), deadline, bytes_max)
    }

    #[test]
    fn both_outputs_and_the_end_are_told() {
        let script = "head -c 300000 /dev/zero; echo why >&2; exec >&- 2>&-; exit 3";
        let answer = shell(script, 60 * SECOND, 1 << 20).expect("an answer");
        assert_eq!(
            (answer.success, answer.out.len(), answer.error.as_slice()),
            (false, 300_000, &b"why\n"[..])
        );
        let answer = shell("cat", 60 * SECOND, 10).expect("there is no input to wait for");
        assert!(answer.success && answer.out.is_empty());
    }

    #[test]
    fn whoever_is_late_or_long_is_killed_with_all_that_it_started() {
        let folder = tempfile::tempdir().expect("a folder");
        let pid = folder.path().join("pid");
        let script = format!("sleep 600 & echo $! > {}; wait", pid.display());
        let late = shell(&script, SECOND, 10).expect_err("it is late");
        assert!(late.to_string().contains("1 s"), "{late}");
        let grandchild = std::fs::read_to_string(&pid).expect("it was started");
        let grandchild = Pid::from_raw(grandchild.trim().parse().expect("a number"));
        match pidfd_open(grandchild.expect("a process"), PidfdFlags::empty()) {
            Err(error) => assert_eq!(error, Errno::SRCH),
            Ok(process) => {
                let timeout = Timespec {
                    tv_sec: 60,
                    tv_nsec: 0,
                };
                let mut polled = [PollFd::new(&process, PollFlags::IN)];
                assert_eq!(poll(&mut polled, Some(&timeout)), Ok(1), "it ends");
            }
        }

        let long = shell("yes", 60 * SECOND, 1 << 20).expect_err("it is long");
        assert!(matches!(long, NoAnswer::Long(_)), "{long}");
        let late = shell("exec >&- 2>&-; sleep 600", SECOND, 10).expect_err("it is late");
        assert!(matches!(late, NoAnswer::Late(_)), "{late}");
    }
}

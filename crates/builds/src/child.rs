//! A program that is asked something: its answer, within limits of time and size.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::retry_on_intr;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

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
) -> Result<Output, NoAnswer> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // docker runs its plugins as processes of their own; a group is ended as a whole.
        .process_group(0)
        .spawn()?;
    let heard = hear(&mut child, deadline, bytes_max);
    if heard.is_err() {
        // It may have ended meanwhile; its pid is kept for it until it is waited for.
        let _ = kill_process_group(Pid::from_child(&child), Signal::KILL);
    }
    let status = child.wait()?;
    let [stdout, stderr] = heard?;
    Ok(Output {
        status,
        stdout,
        stderr,
    })
}

/// Reads both outputs, each in a thread of its own: whoever keeps one open, also after the program was
/// killed, holds up its thread and not the deadline.
fn hear(child: &mut Child, deadline: Duration, bytes_max: usize) -> Result<[Vec<u8>; 2], NoAnswer> {
    let ends = Instant::now() + deadline;
    let pid = Pid::from_child(child);
    let out = child.stdout.take().expect("it is piped");
    let error = child.stderr.take().expect("it is piped");
    let (sender, receiver) = mpsc::channel();
    for (at, pipe) in [OwnedFd::from(out), error.into()].into_iter().enumerate() {
        let sender = sender.clone();
        // Nobody waits for the second output if the first one was too late or too long.
        thread::Builder::new().spawn(move || sender.send((at, read(pipe, pid, bytes_max))).ok())?;
    }
    let mut outputs = [Vec::new(), Vec::new()];
    for _ in 0..outputs.len() {
        let left = ends.saturating_duration_since(Instant::now());
        let heard = receiver.recv_timeout(left);
        let (at, output) = heard.map_err(|_| NoAnswer::Late(deadline))?;
        outputs[at] = output?;
    }
    Ok(outputs)
}

/// Reads an output to its end, and waits until the program has ended too.
fn read(pipe: OwnedFd, pid: Pid, bytes_max: usize) -> Result<Vec<u8>, NoAnswer> {
    let mut bytes = Vec::new();
    File::from(pipe)
        .take(bytes_max as u64 + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() > bytes_max {
        return Err(NoAnswer::Long(bytes_max));
    }
    // `ask` is told its status, and until then its pid is nobody else's.
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    retry_on_intr(|| waitid(WaitId::Pid(pid), options)).map_err(io::Error::from)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::io::Errno;
    use rustix::process::{PidfdFlags, pidfd_open};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn shell(script: &str, deadline: Duration, bytes_max: usize) -> Result<Output, NoAnswer> {
        ask(Command::new("sh").args(["-c", script]), deadline, bytes_max)
    }

    #[test]
    fn both_outputs_and_the_end_are_told() {
        let script = "head -c 300000 /dev/zero; echo why >&2; exec >&- 2>&-; exit 3";
        let answer = shell(script, 60 * SECOND, 1 << 20).expect("an answer");
        assert_eq!(
            (
                answer.status.code(),
                answer.stdout.len(),
                answer.stderr.as_slice()
            ),
            (Some(3), 300_000, &b"why\n"[..])
        );
        let answer = shell("cat", 60 * SECOND, 10).expect("there is no input to wait for");
        assert!(answer.status.success() && answer.stdout.is_empty());
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

        let began = Instant::now();
        let late = shell("setsid sleep 8 & exit 0", SECOND, 10).expect_err("it is late");
        assert!(matches!(late, NoAnswer::Late(_)), "{late}");
        assert!(
            began.elapsed() < 4 * SECOND,
            "who left the group holds nobody up"
        );
    }
}

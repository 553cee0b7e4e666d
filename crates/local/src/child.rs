//! A program of the machine that is asked something: its answer, within limits of time and size.
//!
//! A program may never answer: systemctl waits for a bus that hangs, iptables for a lock that another
//! holds, mkfs for a disk. So each that is run to its end is run by [`ask`].

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::retry_on_intr;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

/// How long a program may take, and how much it may print.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The time until its end.
    pub time: Duration,
    /// Bytes of each of its outputs.
    pub bytes: usize,
}

impl Limits {
    /// For a program that answers in milliseconds and prints some pages, on a machine that is busy.
    pub const QUICK: Self = Self {
        time: Duration::from_secs(10),
        bytes: 64 << 20,
    };
}

/// Why a program gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum NoAnswer {
    /// The system refused: there is no such program, or no process can be made.
    #[error("it cannot be run: {0}")]
    Io(#[from] io::Error),
    /// It was killed.
    #[error("it did not answer within {} s", .0.as_secs_f32())]
    Late(Duration),
    /// It was killed.
    #[error("it printed more than {0} bytes")]
    Long(usize),
}

/// Runs a program with this input and reads what it prints. If that takes too long or is too much, the
/// program and all that it started are killed.
pub fn ask(command: &mut Command, input: &str, limits: Limits) -> Result<Output, NoAnswer> {
    let reads = !input.is_empty();
    let mut child = command
        .stdin(if reads { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // docker runs its plugins as processes of their own; a group is ended as a whole.
        .process_group(0)
        .spawn()?;
    match tell(&mut child, input).and_then(|()| hear(&mut child, limits)) {
        Ok([stdout, stderr]) => Ok(Output {
            status: child.wait()?,
            stdout,
            stderr,
        }),
        Err(why) => {
            // It may have ended meanwhile; its pid is kept for it until it is waited for.
            let _ = kill_process_group(Pid::from_child(&child), Signal::KILL);
            // One that waits for a disk that hangs does not end now.
            thread::spawn(move || child.wait());
            Err(why)
        }
    }
}

/// Writes the input, in a thread of its own: a program that does not read it may answer all the same.
fn tell(child: &mut Child, input: &str) -> Result<(), NoAnswer> {
    let Some(mut pipe) = child.stdin.take() else {
        return Ok(());
    };
    let input = input.to_owned();
    thread::Builder::new().spawn(move || pipe.write_all(input.as_bytes()).ok())?;
    Ok(())
}

/// Reads both outputs, each in a thread of its own: whoever keeps one open, also after the program was
/// killed, holds up its thread and not the limit.
fn hear(child: &mut Child, limits: Limits) -> Result<[Vec<u8>; 2], NoAnswer> {
    let ends = Instant::now() + limits.time;
    let pid = Pid::from_child(child);
    let out = child.stdout.take().expect("it is piped");
    let error = child.stderr.take().expect("it is piped");
    let (sender, receiver) = mpsc::channel();
    for (at, pipe) in [OwnedFd::from(out), error.into()].into_iter().enumerate() {
        let sender = sender.clone();
        // Nobody waits for the second output if the first one was too late or too long.
        thread::Builder::new()
            .spawn(move || sender.send((at, read(pipe, pid, limits.bytes))).ok())?;
    }
    let mut outputs = [Vec::new(), Vec::new()];
    for _ in 0..outputs.len() {
        let left = ends.saturating_duration_since(Instant::now());
        let heard = receiver.recv_timeout(left);
        let (at, output) = heard.map_err(|_| NoAnswer::Late(limits.time))?;
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
        let limits = Limits {
            time: deadline,
            bytes: bytes_max,
        };
        ask(Command::new("sh").args(["-c", script]), "", limits)
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
        let large = "x".repeat(1 << 20);
        let limits = Limits::QUICK;
        let answer = ask(&mut Command::new("cat"), &large, limits).expect("it reads");
        assert_eq!(answer.stdout.len(), large.len());
        let answer = ask(&mut Command::new("true"), &large, limits).expect("it need not read");
        assert!(answer.status.success());
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

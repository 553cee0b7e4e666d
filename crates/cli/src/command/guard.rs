//! What can happen to a session while it is used, and while it is left.

use std::convert::Infallible;
use std::fs;
use std::time::Duration;

use larder_local::people::Voice as _;
use larder_session::client::Running;
use larder_session::protocol::Event;
use larder_settings::exit::Done;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::sync::oneshot;

use crate::report::Report;
use crate::signals::Signals;

/// How long a command may go on without its engine: most fail by themselves, and say more about it.
const BY_ITSELF: Duration = Duration::from_secs(10);
/// How long it may take to end.
const TO_END: Duration = Duration::from_secs(10);

/// Passes on what the session tells, and ends the command if the session cannot go on: what the command makes from
/// then on may be wrong.
pub(super) async fn end_if_broken(
    command: Option<u32>,
    session: Option<&Running>,
    report: &Report,
) -> Infallible {
    if let (Some(told), Some(pid)) = (session.and_then(told_by), command)
        && is_broken(told, report).await
    {
        for (grace, signal) in [(BY_ITSELF, Signal::TERM), (TO_END, Signal::KILL)] {
            tokio::time::sleep(grace).await;
            for process in with_descendants(pid.cast_signed()) {
                // It may have ended just now.
                let _ = kill_process(process, signal);
            }
        }
    }
    std::future::pending().await
}

/// Passes on what the session tells, until it cannot go on or is gone.
pub(super) async fn broken(session: &Running, report: &Report) {
    match told_by(session) {
        Some(told) => drop(is_broken(told, report).await),
        None => std::future::pending().await,
    }
}

/// What a session tells. Not for this reader alone: `Running` listens again later.
fn told_by(session: &Running) -> Option<tokio::net::UnixStream> {
    let heard = session.connection().ok()?;
    heard.set_nonblocking(true).ok()?;
    tokio::net::UnixStream::from_std(heard).ok()
}

/// Tells what the session says, until it is broken, which is true, or gone.
async fn is_broken(told: tokio::net::UnixStream, report: &Report) -> bool {
    let mut lines = BufReader::new(told).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        match serde_json::from_str(&line) {
            Ok(Event::Note(text)) => report.note(&text),
            Ok(Event::Warning(text)) => report.warning(&text),
            Ok(Event::Broken(why)) => {
                report.warning(&why);
                return true;
            }
            // Progress is for whoever waits.
            _ => {}
        }
    }
    false
}

/// A process and all that it started, as far as those are still its children (proc(5),
/// `/proc/pid/task/tid/children`).
fn with_descendants(pid: i32) -> Vec<Pid> {
    let mut found = vec![pid];
    let mut at = 0;
    while let Some(pid) = found.get(at) {
        let threads = fs::read_dir(format!("/proc/{pid}/task"))
            .into_iter()
            .flatten();
        let children = threads.flatten().map(|thread| {
            let children = fs::read_to_string(thread.path().join("children"));
            children.unwrap_or_default()
        });
        let children: String = children.collect();
        found.extend(children.split_whitespace().flat_map(str::parse::<i32>));
        at += 1;
    }
    found.into_iter().filter_map(Pid::from_raw).collect()
}

/// Does some work that ends a session. A signal hurries it, and is no reason not to hear how it ended.
pub(super) fn hurried<T: Send>(work: impl FnOnce() -> T + Send, hurry: impl Fn()) -> Done<T> {
    let (done, mut ended) = oneshot::channel();
    std::thread::scope(|scope| {
        scope.spawn(|| done.send(work()).is_ok());
        super::wait_for(async {
            let mut signals = Signals::catch()?;
            loop {
                tokio::select! {
                    ended = &mut ended => return Ok(ended.expect("the work does not panic")),
                    _ = signals.next() => hurry(),
                }
            }
        })?
    })
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_command_is_found_with_what_it_started() {
        let mut shell = Command::new("sh");
        let mut shell = shell
            .args(["-c", "sleep 600 & wait"])
            .spawn()
            .expect("sh starts");
        let pid = shell.id().cast_signed();
        while with_descendants(pid).len() < 2 {
            std::thread::yield_now();
        }
        for process in with_descendants(pid) {
            kill_process(process, Signal::KILL).expect("it runs");
        }
        shell.wait().expect("it ends");
    }
}

//! Signals to this process: they are passed on to the command that it runs, or end its own work.

use std::future::Future;
use std::io;
use std::process::ExitStatus;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Child;
use tokio::signal::unix::{self, SignalKind, signal};

use larder_settings::exit::{Done, Failure};

/// Signals that end a job. Once caught they end this process no more by themselves.
pub(crate) struct Signals {
    terminate: unix::Signal,
    interrupt: unix::Signal,
    hangup: unix::Signal,
}

impl Signals {
    pub(crate) fn catch() -> Done<Self> {
        Ok(Self {
            terminate: catch(SignalKind::terminate())?,
            interrupt: catch(SignalKind::interrupt())?,
            hangup: catch(SignalKind::hangup())?,
        })
    }

    /// Waits for a command, which gets the signals that come meanwhile.
    pub(crate) async fn pass_on_to(&mut self, child: &mut Child) -> io::Result<ExitStatus> {
        let pid = child.id().and_then(|pid| Pid::from_raw(pid.cast_signed()));
        loop {
            tokio::select! {
                status = child.wait() => return status,
                // A terminal sends an interrupt to the command itself, too; twice does no harm here.
                signal = self.next() => {
                    if let Some(pid) = pid {
                        // It may have ended just now.
                        let _ = kill_process(pid, signal);
                    }
                }
            }
        }
    }

    /// Does some work unless a signal comes.
    pub(crate) async fn end<T>(&mut self, work: impl Future<Output = Done<T>>) -> Done<T> {
        tokio::select! {
            done = work => done,
            signal = self.next() => Err(Failure::interrupted(signal)),
        }
    }

    /// The next signal.
    pub(crate) async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.terminate.recv() => Signal::TERM,
            _ = self.interrupt.recv() => Signal::INT,
            _ = self.hangup.recv() => Signal::HUP,
        }
    }
}

fn catch(kind: SignalKind) -> Done<unix::Signal> {
    signal(kind).map_err(|error| Failure::failed(format!("signals cannot be caught: {error}")))
}

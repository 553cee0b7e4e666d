//! A thread with namespaces of its own that runs what it is given.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use rustix::mount::{MountPropagationFlags, mount_change};
use rustix::process::Pid;
use rustix::thread::{UnshareFlags, gettid};

/// Names a folder whose `usr` holds another engine than the machine's, to run all of these tests on: its programs,
/// and their libraries if they need newer ones.
const ENGINE: &str = "LARDER_TEST_ENGINE";

type Job = Box<dyn FnOnce() + Send>;

/// Ends its thread when dropped, and with it everything bound to that thread.
pub(crate) struct Room {
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    tid: Pid,
}

impl Room {
    /// A thread with a mount namespace, and with a network namespace if `net`.
    pub(crate) fn new(net: bool) -> Self {
        Self::with_engine(net, std::env::var_os(ENGINE).map(PathBuf::from))
    }

    /// The same with another engine's folder laid over `/usr`.
    pub(crate) fn with_engine(net: bool, engine: Option<PathBuf>) -> Self {
        let (jobs, inbox) = mpsc::channel::<Job>();
        let (ready, tid) = mpsc::channel();
        let thread = thread::spawn(move || {
            unshare(if net {
                UnshareFlags::NEWNS | UnshareFlags::NEWNET
            } else {
                UnshareFlags::NEWNS
            });
            mount_change(
                "/",
                MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC,
            )
            .expect("mounts become slaves");
            if let Some(engine) = engine {
                lay_over_usr(&engine);
            }
            ready.send(gettid()).expect("the maker waits");
            for job in inbox {
                job();
            }
        });
        let tid = tid
            .recv()
            .expect("namespaces can be made: the tests need root; see `cargo xtask engine`");
        Self {
            jobs: Some(jobs),
            thread: Some(thread),
            tid,
        }
    }

    pub(crate) fn tid(&self) -> Pid {
        self.tid
    }

    /// Runs `job` on the thread and waits for it; a panic there is a panic here.
    pub(crate) fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        let (sender, receiver) = mpsc::channel::<Result<T, Box<dyn Any + Send>>>();
        let job = move || {
            // The other side waits for exactly this.
            let _ = sender.send(catch_unwind(AssertUnwindSafe(job)));
        };
        self.jobs
            .as_ref()
            .expect("the room is open")
            .send(Box::new(job))
            .expect("the thread lives");
        receiver
            .recv()
            .expect("the thread answers")
            .unwrap_or_else(|panic| resume_unwind(panic))
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            thread.join().expect("jobs' panics are caught");
        }
    }
}

/// The engine's programs and libraries are found before the machine's.
fn lay_over_usr(engine: &Path) {
    let layers = format!("lowerdir={}:/usr", engine.join("usr").display());
    let mounted = Command::new("mount")
        .args(["-t", "overlay", "engine", "-o", &layers, "/usr"])
        .status();
    assert!(mounted.expect("mount starts").success(), "{layers}");
}

#[expect(
    deprecated,
    reason = "rustix's safe form; its danger is CLONE_FILES, which is not asked for"
)]
fn unshare(flags: UnshareFlags) {
    rustix::thread::unshare(flags).expect("the tests need root; see `cargo xtask engine`");
}

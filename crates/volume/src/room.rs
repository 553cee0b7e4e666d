//! The room: a thread with a mount namespace of its own, and for a private engine a network
//! namespace too.
//!
//! All mounts of a volume are made in the room, and the engine's processes are started from it, so
//! they inherit its namespaces: the volume has the same absolute path on every machine and for any
//! number of volumes side by side; no mount leaks into the rest of the machine; and when the last
//! process of the room is gone the kernel takes the mounts down by itself, whatever became of us.

use std::sync::mpsc;
use std::thread::JoinHandle;

use rustix::io::Errno;
use rustix::mount::MountPropagationFlags;
use rustix::thread::UnshareFlags;

use crate::error::VolumeError;

/// The name of its thread.
pub(crate) const THREAD: &str = "room";

type Job = Box<dyn FnOnce() + Send>;

/// A thread in namespaces of its own, which runs what it is given, one thing after the other.
#[derive(Debug)]
pub struct Room {
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    thread_id: i32,
}

impl Room {
    /// Makes a room. Mounts made in the machine's namespace later appear in it too, never the other
    /// way round.
    pub fn new(private_network: bool) -> Result<Self, VolumeError> {
        let (jobs, queue) = mpsc::channel::<Job>();
        let (ready, entered) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name(THREAD.into())
            .spawn(move || {
                // The engine's processes are started from here.
                crate::flusher::stay_ordinary();
                let result = enter(private_network);
                let failed = result.is_err();
                let sent =
                    ready.send(result.map(|()| rustix::thread::gettid().as_raw_nonzero().get()));
                if failed || sent.is_err() {
                    return;
                }
                for job in queue {
                    job();
                }
            })
            .map_err(VolumeError::io("start a thread for", "/proc/self/ns/mnt"))?;
        let entered = entered.recv().expect("the room answers before it ends");
        let thread_id = entered.map_err(forbidden)?;
        Ok(Self {
            jobs: Some(jobs),
            thread: Some(thread),
            thread_id,
        })
    }

    /// The thread's id: `/proc/<id>/ns/net` is the room's network namespace.
    pub fn thread_id(&self) -> i32 {
        self.thread_id
    }

    /// Runs a job in the room and waits for it. From a task, call it in a blocking section.
    pub fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        let (done, result) = mpsc::channel();
        let job = Box::new(move || {
            // Nobody listens any more only if the caller panicked.
            let _ = done.send(job());
        });
        let jobs = self
            .jobs
            .as_ref()
            .expect("the room is open until it is dropped");
        jobs.send(job)
            .expect("the room's thread runs until the room is dropped");
        result.recv().expect("a job in the room does not panic")
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // A panic in it was already reported by whoever waited for the job.
            let _ = thread.join();
        }
    }
}

fn forbidden(error: Errno) -> VolumeError {
    VolumeError::Missing {
        what: format!("mounts cannot be kept apart from the machine's ({error})"),
        cure: match error {
            // The root is no mount point (mount(2)).
            Errno::INVAL => {
                "make the root of this chroot a mount point (mount --bind DIR DIR) before you enter it"
            }
            _ => "start this container with --privileged",
        },
    }
}

fn enter(private_network: bool) -> rustix::io::Result<()> {
    let mut flags = UnshareFlags::NEWNS;
    if private_network {
        flags |= UnshareFlags::NEWNET;
    }
    // SAFETY: unshare is unsafe because UnshareFlags::FILES would give this thread a table of file
    // descriptors that differs from what the rest of the process believes. We do not pass it.
    #[allow(unsafe_code)]
    unsafe {
        rustix::thread::unshare_unsafe(flags)?;
    }
    let slave = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", slave)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_in_the_room_stay_in_it() {
        let room = Room::new(false).expect("root is needed: run the tests with sudo");
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().to_owned();
        let inside = room.run(move || {
            rustix::mount::mount(
                "none",
                &path,
                "tmpfs",
                rustix::mount::MountFlags::empty(),
                None,
            )
            .expect("a tmpfs");
            std::fs::read_to_string("/proc/thread-self/mountinfo").expect("mounts")
        });
        let outside = std::fs::read_to_string("/proc/self/mountinfo").expect("mounts");
        let path = folder.path().to_string_lossy();
        assert!(inside.contains(&*path));
        assert!(!outside.contains(&*path));
    }
}

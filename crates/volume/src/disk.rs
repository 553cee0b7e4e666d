//! The FUSE file system: a folder with one file, `disk`, which is the volume.
//!
//! Choices, with their sources:
//!
//! - no `FUSE_WRITEBACK_CACHE`: it would add a dirty cache below the loop device, and its inode
//!   write-back has deadlocked under memory pressure (Linux commit 5c791fe1);
//! - `FOPEN_DIRECT_IO` with parallel direct writes, and `FUSE_ASYNC_DIO`: the loop device does the
//!   caching, and its requests need not wait for each other;
//! - `statfs` reports a block size of 64 KiB, which becomes the loop device's discard granularity
//!   (`drivers/block/loop.c`, `loop_get_discard_config`), so that a trim leaves out free extents
//!   too short to free a block;
//! - `fsync` is not there, so the kernel asks once and never again: a volume that was not closed well is thrown
//!   away, so nothing on it needs to survive the machine, and an engine's databases ask for it with every step.
//!   Whether the local disk takes what is written is asked now and then, and before it is published;
//! - a request that needs a fetch is answered from a task; the threads that read from the kernel
//!   never wait.

use std::cell::RefCell;
use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use fuser::{
    Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo,
    InitFlags, KernelConfig, LockOwner, OpenFlags, ReplyAttr, ReplyData, ReplyEmpty, ReplyEntry,
    ReplyOpen, ReplyStatfs, ReplyWrite, Request, Session, SessionACL, WriteFlags,
};
use larder_model::limits::{BLOCK_BYTES, PAGE_BYTES};
use rustix::fs::{Mode, OFlags};
use rustix::mount::MountFlags;
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::blocks::Blocks;
use crate::connection::FILE_SYSTEM;
use crate::error::VolumeError;

pub(crate) const FILE_NAME: &str = "disk";

const FOLDER: INodeNo = INodeNo(1);
const FILE: INodeNo = INodeNo(2);
/// Attributes never change while the volume is open.
const ATTRIBUTES_VALID: Duration = Duration::from_secs(3600);
/// Threads that read requests from the kernel.
const THREADS: usize = 3;
/// Requests that the kernel may have under way in the background; its default of 12 would make
/// the loop device's queue wait.
const BACKGROUND_REQUESTS: u16 = 128;
/// Largest request: the kernel's own limit of 256 pages.
const REQUEST_MAX_BYTES: u32 = 1024 * 1024;

/// A mounted FUSE file system.
#[derive(Debug)]
pub(crate) struct Disk {
    thread: JoinHandle<io::Result<()>>,
    /// The number of its FUSE connection, for [`abort`](crate::connection::abort).
    pub(crate) connection: u32,
    open_files: watch::Receiver<usize>,
}

impl Disk {
    /// Mounts `blocks` at `folder`, in the calling thread's mount namespace.
    pub(crate) fn mount(
        blocks: Arc<Blocks>,
        folder: &Path,
        runtime: &Handle,
    ) -> Result<Self, VolumeError> {
        let device: OwnedFd = rustix::fs::open("/dev/fuse", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
            .map_err(|error| VolumeError::Missing {
                what: format!("/dev/fuse cannot be opened ({error})"),
                cure: "load the fuse module (modprobe fuse), or give the container --privileged or --device /dev/fuse",
            })?;
        let options = format!(
            "fd={},rootmode=40000,user_id=0,group_id=0",
            std::os::fd::AsRawFd::as_raw_fd(&device)
        );
        let options = std::ffi::CString::new(options).expect("no zero byte in it");
        let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOATIME;
        rustix::mount::mount("larder", folder, FILE_SYSTEM, flags, options.as_c_str())
            .map_err(VolumeError::io("mount FUSE at", folder))?;
        let (opened, open_files) = watch::channel(0);
        let files = Files {
            blocks,
            runtime: runtime.clone(),
            opened,
        };
        let mut config = Config::default();
        config.n_threads = Some(THREADS);
        config.clone_fd = true;
        let session = Session::from_fd(files, device, SessionACL::Owner, config)
            .map_err(VolumeError::io("start FUSE at", folder))?;
        // Keeps the mounts until our open files are closed. Else, when the process ends with the
        // volume mounted, one of the threads that serve it may be the last in the mount namespace: it
        // takes the mounts down before it lets go of the FUSE device (the kernel runs what `exit_files`
        // put off after what `exit_task_namespaces` put off), and waits for itself for ever.
        let namespace = std::fs::File::open("/proc/thread-self/ns/mnt")
            .map_err(VolumeError::io("open", "/proc/thread-self/ns/mnt"))?;
        let thread = std::thread::Builder::new()
            .name("fuse".into())
            .spawn(move || {
                // The session's threads inherit it. Whoever started us said already if it fails.
                let flusher = crate::flusher::become_flusher();
                tracing::debug!(?flusher, "serving");
                let ended = session.run();
                drop(namespace);
                ended
            })
            .map_err(VolumeError::io("start FUSE at", folder))?;
        // Answered by the thread that was just started.
        let about = std::fs::metadata(folder).map_err(VolumeError::io("ask", folder))?;
        Ok(Self {
            thread,
            connection: rustix::fs::minor(about.dev()),
            open_files,
        })
    }

    /// Waits until nobody has the file open: after this no request can come any more. False if
    /// that did not happen within `limit`.
    pub(crate) async fn until_closed(&mut self, limit: Duration) -> bool {
        let closed = self.open_files.wait_for(|count| *count == 0);
        tokio::time::timeout(limit, closed).await.is_ok()
    }

    /// Waits for the threads to end, which they do once the file system is unmounted.
    pub(crate) fn join(self) -> io::Result<()> {
        self.thread
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("a FUSE thread panicked")))
    }
}

struct Files {
    blocks: Arc<Blocks>,
    runtime: Handle,
    opened: watch::Sender<usize>,
}

impl Files {
    fn attributes(&self, inode: INodeNo) -> FileAttr {
        let folder = inode == FOLDER;
        let size = if folder {
            0
        } else {
            self.blocks.volume_bytes()
        };
        FileAttr {
            ino: inode,
            size,
            blocks: size / 512,
            atime: SystemTime::UNIX_EPOCH,
            mtime: SystemTime::UNIX_EPOCH,
            ctime: SystemTime::UNIX_EPOCH,
            crtime: SystemTime::UNIX_EPOCH,
            kind: if folder {
                FileType::Directory
            } else {
                FileType::RegularFile
            },
            perm: if folder { 0o700 } else { 0o600 },
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: BLOCK_BYTES as u32,
            flags: 0,
        }
    }
}

fn errno(error: &io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_i32)
}

fn answer(reply: ReplyEmpty, result: io::Result<()>) {
    match result {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(errno(&error)),
    }
}

thread_local! {
    /// What a read is copied through. A fresh buffer for each request would cost more, in pages
    /// that the kernel zeroes and maps, than the copy itself.
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

fn answer_read(blocks: &Blocks, offset: u64, size: usize, reply: ReplyData) {
    BUFFER.with_borrow_mut(|buffer| {
        if buffer.len() < size {
            buffer.resize(size, 0);
        }
        match blocks.read_at(&mut buffer[..size], offset) {
            Ok(()) => reply.data(&buffer[..size]),
            Err(error) => reply.error(errno(&error)),
        }
    });
}

fn answer_write(blocks: &Blocks, offset: u64, data: &[u8], reply: ReplyWrite) {
    match blocks.write_at(data, offset) {
        Ok(()) => reply.written(data.len() as u32),
        Err(error) => reply.error(errno(&error)),
    }
}

impl Filesystem for Files {
    fn init(&mut self, _request: &Request, config: &mut KernelConfig) -> io::Result<()> {
        // What the kernel does not offer is left out; nothing depends on it but speed.
        let _ = config.add_capabilities(InitFlags::FUSE_ASYNC_DIO);
        let _ = config.set_max_write(REQUEST_MAX_BYTES);
        let _ = config.set_max_background(BACKGROUND_REQUESTS);
        let _ = config.set_congestion_threshold(BACKGROUND_REQUESTS);
        Ok(())
    }

    fn lookup(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        if parent == FOLDER && name == FILE_NAME {
            reply.entry(&ATTRIBUTES_VALID, &self.attributes(FILE), Generation(0));
        } else {
            reply.error(Errno::ENOENT);
        }
    }

    fn getattr(
        &self,
        _request: &Request,
        inode: INodeNo,
        _handle: Option<FileHandle>,
        reply: ReplyAttr,
    ) {
        reply.attr(&ATTRIBUTES_VALID, &self.attributes(inode));
    }

    fn open(&self, _request: &Request, _inode: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        self.opened.send_modify(|count| *count += 1);
        let flags = FopenFlags::FOPEN_DIRECT_IO | FopenFlags::FOPEN_PARALLEL_DIRECT_WRITES;
        reply.opened(FileHandle(0), flags);
    }

    fn release(
        &self,
        _request: &Request,
        _inode: INodeNo,
        _handle: FileHandle,
        _flags: OpenFlags,
        _owner: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        self.opened.send_modify(|count| *count -= 1);
        reply.ok();
    }

    fn flush(
        &self,
        _request: &Request,
        _inode: INodeNo,
        _handle: FileHandle,
        _owner: LockOwner,
        reply: ReplyEmpty,
    ) {
        reply.ok();
    }

    fn read(
        &self,
        _request: &Request,
        _inode: INodeNo,
        _handle: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let end = (offset + u64::from(size)).min(self.blocks.volume_bytes());
        let range = offset.min(end)..end;
        let size = (range.end - range.start) as usize;
        if self.blocks.is_local(range.clone()) {
            return answer_read(&self.blocks, offset, size, reply);
        }
        let blocks = Arc::clone(&self.blocks);
        self.runtime.spawn(async move {
            match blocks.make_local(range).await {
                Ok(()) => answer_read(&blocks, offset, size, reply),
                Err(error) => reply.error(errno(&error)),
            }
        });
    }

    fn write(
        &self,
        _request: &Request,
        _inode: INodeNo,
        _handle: FileHandle,
        offset: u64,
        data: &[u8],
        _write_flags: WriteFlags,
        _flags: OpenFlags,
        _owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let range = offset..offset + data.len() as u64;
        if range.end > self.blocks.volume_bytes() {
            return reply.error(Errno::ENOSPC);
        }
        if self.blocks.is_writable(range.clone()) {
            return answer_write(&self.blocks, offset, data, reply);
        }
        let (blocks, data) = (Arc::clone(&self.blocks), data.to_vec());
        self.runtime.spawn(async move {
            match blocks.make_local(range).await {
                Ok(()) => answer_write(&blocks, offset, &data, reply),
                Err(error) => reply.error(errno(&error)),
            }
        });
    }

    fn fallocate(
        &self,
        _request: &Request,
        _inode: INodeNo,
        _handle: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        /// `FALLOC_FL_PUNCH_HOLE` and `FALLOC_FL_ZERO_RANGE` of `linux/falloc.h`: the two that the
        /// loop device sends, for a discard and for writing zeros.
        const PUNCH_OR_ZERO: i32 = 0x02 | 0x10;
        let end = offset
            .saturating_add(length)
            .min(self.blocks.volume_bytes());
        if mode & PUNCH_OR_ZERO == 0 || offset >= end {
            return reply.error(Errno::EOPNOTSUPP);
        }
        let (blocks, range) = (Arc::clone(&self.blocks), offset..end);
        self.runtime.spawn(async move {
            let done = async {
                if !blocks.is_trimming() && !blocks.is_writable(range.clone()) {
                    blocks.make_edges_local(range.clone()).await?;
                }
                tokio::task::block_in_place(|| blocks.discard(range))
            };
            answer(reply, done.await);
        });
    }

    fn statfs(&self, _request: &Request, _inode: INodeNo, reply: ReplyStatfs) {
        let size = BLOCK_BYTES as u32;
        let total = self.blocks.volume_bytes() / u64::from(size);
        reply.statfs(total, total, total, 2, 0, size, 255, PAGE_BYTES as u32);
    }
}

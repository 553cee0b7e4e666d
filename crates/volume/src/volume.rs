//! A volume from end to end: opened and mounted, unmounted and sealed.

use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use larder_local::files::make_private_folder;
use larder_store::packer::{Early, PackProgress, Packed};
use larder_store::{Source, Traffic, packer};
use tokio::runtime::Handle;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

use crate::alarm::Hearing;
use crate::blocks::Blocks;
use crate::device::LoopDevice;
use crate::disk::{Disk, FILE_NAME};
use crate::error::{Fault, VolumeError};
use crate::filesystem::WriteBack;
use crate::filesystem::attached::{self, View};
use crate::prefetch::{self, Prefetch};
use crate::room::Room;
use crate::{early, filesystem};

/// Time for mounts to become free after the engine has ended.
const UNMOUNT_LIMIT: Duration = Duration::from_secs(10);
/// Time for the loop device to let go of the file.
const DETACH_LIMIT: Duration = Duration::from_secs(10);

/// Where a volume lives while it is open.
#[derive(Debug, Clone)]
pub struct VolumeOptions {
    /// Folder of the sparse local file.
    pub folder: PathBuf,
    /// Where the FUSE file system is mounted, inside the room.
    pub fuse: PathBuf,
    /// Where ext4 is mounted, inside the room: the same path on every machine.
    pub mount: PathBuf,
}

/// An open volume.
#[derive(Debug)]
pub struct Volume {
    options: VolumeOptions,
    room: Arc<Room>,
    blocks: Arc<Blocks>,
    disk: Disk,
    device: LoopDevice,
    prefetch: Background,
    writing: Option<WriteBack>,
    early: Arc<Mutex<Early>>,
    storing: Option<Background>,
    /// How long the end waits for the loop device to let go of the file.
    detach_limit: Duration,
}

/// A task that ends with its owner.
#[derive(Debug)]
struct Background(JoinHandle<()>);

impl Drop for Background {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What is known once a volume is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opened {
    /// Major and minor number of its device, as in `/proc/*/mountinfo`.
    pub device: (u32, u32),
    /// The number of its FUSE connection, for [`abort`](crate::connection::abort).
    pub connection: u32,
    /// Whether the loop device does direct I/O.
    pub direct_io: bool,
}

/// A volume that nothing can write to any more.
#[derive(Debug)]
pub struct Seal {
    blocks: Arc<Blocks>,
    file: PathBuf,
    /// What was stored before.
    early: Mutex<Early>,
}

impl Volume {
    /// Opens the volume of `source` and mounts it in the room; an empty one gets a file system.
    pub async fn open(
        options: VolumeOptions,
        room: Arc<Room>,
        source: Arc<Source>,
        prefetch: Prefetch,
    ) -> Result<Self, VolumeError> {
        let file = create_local_file(&options.folder)?;
        let folder =
            File::open(&options.folder).map_err(VolumeError::io("open", &options.folder))?;
        let empty = source.root().leaves().next().is_none();
        let blocks = Blocks::new(file, source).map_err(|error| match error.kind() {
            ErrorKind::FileTooLarge => VolumeError::Missing {
                what: format!(
                    "no file as large as the volume fits {}",
                    options.folder.display()
                ),
                cure: "choose a smaller --size, or a --state directory on another file system",
            },
            _ => VolumeError::io("size", &options.folder)(error),
        })?;
        let blocks = Arc::new(blocks);
        let prefetch = prefetch::run(Arc::clone(&blocks), prefetch, folder);
        let prefetch = Background(tokio::spawn(prefetch));
        let mounting = {
            let (room, blocks, options) = (Arc::clone(&room), Arc::clone(&blocks), options.clone());
            let runtime = Handle::current();
            move || room.run(move || mount_all(blocks, &options, empty, &runtime))
        };
        let mounted = tokio::task::spawn_blocking(mounting).await;
        match mounted.expect("mounting does not panic") {
            Ok((disk, device, writing)) => Ok(Self {
                options,
                room,
                blocks,
                disk,
                device,
                prefetch,
                writing,
                early: Arc::default(),
                storing: None,
                detach_limit: DETACH_LIMIT,
            }),
            Err(error) => Err(reason(&blocks, error)),
        }
    }

    /// What is known of it.
    pub fn opened(&self) -> Opened {
        Opened {
            device: self.device.numbers(),
            connection: self.disk.connection,
            direct_io: self.device.direct,
        }
    }

    /// The first thing that went wrong, if anything did.
    pub fn fault(&self) -> Option<Fault> {
        self.blocks.fault()
    }

    /// From now on stores what the job has written while it runs.
    pub fn store_early(&mut self) {
        let task = early::run(Arc::clone(&self.blocks), Arc::clone(&self.early));
        self.storing = Some(Background(tokio::spawn(task)));
    }

    /// Somebody holds it who is not to be waited for: it cannot be closed, and the attempt ends soon.
    pub fn give_up(&mut self) {
        self.detach_limit = Duration::ZERO;
    }

    /// The engine answers now: what was read so far is what every start reads.
    pub fn note_start(&self) {
        self.blocks.note_start();
    }

    /// Puts one of its directories, a path from its root, on an empty directory of this process's namespace, until
    /// somebody [takes it away](attached::take_away).
    pub async fn attach(
        &self,
        folder: PathBuf,
        place: File,
        view: View,
    ) -> Result<(), VolumeError> {
        let (room, mount) = (Arc::clone(&self.room), self.options.mount.clone());
        let named = mount.join(&folder);
        let attaching = tokio::task::spawn_blocking(move || {
            let tree = room.run(move || attached::clone_of(&mount, &folder, &view))?;
            attached::put(&tree, &place).map_err(VolumeError::io("attach", named))
        });
        attaching.await.expect("attaching does not panic")
    }

    /// Hears when a read of the kernel has failed, which is answered after that.
    pub fn hear_alarm(&self) -> Hearing {
        self.blocks.hear_alarm()
    }

    /// What it is read from.
    pub fn source(&self) -> Arc<Source> {
        Arc::clone(self.blocks.source())
    }

    /// Its size.
    pub fn bytes(&self) -> u64 {
        self.blocks.volume_bytes()
    }

    /// Trims and unmounts the file system, detaches the device and ends the FUSE file system. After
    /// this nothing can write to the volume.
    pub async fn close(self) -> Result<Seal, VolumeError> {
        let blocks = Arc::clone(&self.blocks);
        // What the kernel could not write, our side knows the reason of.
        self.close_all()
            .await
            .map_err(|error| reason(&blocks, error))
    }

    async fn close_all(mut self) -> Result<Seal, VolumeError> {
        self.prefetch.0.abort();
        drop(self.storing.take());
        if let Some(writing) = self.writing.take() {
            let ending = tokio::task::spawn_blocking(|| writing.end());
            ending.await.expect("ending it does not panic");
        }
        let result = self.unmount().await;
        let device = self.device;
        let detached = result.and_then(|()| device.detach());
        let closed = self.disk.until_closed(self.detach_limit).await;
        let fuse = self.options.fuse.clone();
        let room = Arc::clone(&self.room);
        let disk = self.disk;
        let ended = tokio::task::spawn_blocking(move || {
            room.run(move || {
                filesystem::unmount(&fuse, UNMOUNT_LIMIT)?;
                disk.join().map_err(VolumeError::io("serve", &fuse))
            })
        });
        detached?;
        if !closed {
            return Err(VolumeError::Unclean(
                "the loop device did not let go of the volume".into(),
            ));
        }
        ended.await.expect("unmounting does not panic")?;
        if let Some(fault) = self.blocks.fault() {
            return Err(VolumeError::Fault(fault));
        }
        filesystem::check_clean(&self.blocks).await?;
        let blocks = Arc::clone(&self.blocks);
        let clearing = tokio::task::spawn_blocking(move || filesystem::clear_free_pages(&blocks));
        let cleared = clearing.await.expect("clearing does not panic");
        cleared.map_err(VolumeError::io("clear free pages of", &self.options.folder))?;
        // Its task has ended, or does so at its next step.
        let early = std::mem::take(&mut *self.early.lock().await);
        Ok(Seal {
            early: Mutex::new(early),
            blocks: self.blocks,
            file: local_file(&self.options.folder),
        })
    }

    async fn unmount(&self) -> Result<(), VolumeError> {
        let (room, mount) = (Arc::clone(&self.room), self.options.mount.clone());
        let blocks = Arc::clone(&self.blocks);
        let unmounting = tokio::task::spawn_blocking(move || {
            room.run(move || {
                filesystem::unmount_below(&mount, UNMOUNT_LIMIT)?;
                filesystem::write_back(&mount)?;
                let trimmed = trim(&mount, &blocks);
                // What could not be trimmed is unmounted all the same.
                trimmed.and(filesystem::unmount(&mount, UNMOUNT_LIMIT))
            })
        });
        unmounting.await.expect("unmounting does not panic")
    }
}

/// Finds what the job freed. The file system has been written back.
fn trim(mount: &Path, blocks: &Blocks) -> Result<(), VolumeError> {
    let touched = filesystem::touched(blocks);
    let touched = touched.map_err(VolumeError::io("read the free space of", mount))?;
    let ranges = touched.unwrap_or_else(|| blocks.occupied());
    blocks.set_trimming(true);
    let trimmed = filesystem::trim(mount, &ranges);
    blocks.set_trimming(false);
    trimmed
}

impl Seal {
    /// Stores what the job changed, and together what it read.
    pub async fn pack(&self, progress: Arc<PackProgress>) -> Result<Packed, VolumeError> {
        let changed = self.blocks.settle().await;
        let changed = changed.map_err(VolumeError::io("complete the blocks of", &self.file))?;
        let [blocks, to_sync] = [(); 2].map(|()| Arc::clone(&self.blocks));
        let job = packer::Job {
            changed,
            reads: self.blocks.trace(),
            early: std::mem::take(&mut *self.early.lock().await),
            is_near: self.blocks.source().objects().is_near(),
        };
        let packed = packer::pack(
            self.blocks.source(),
            job,
            move |block, buffer| blocks.read_block(block, buffer),
            progress,
        );
        // A page that the disk did not take may be another one when it is read again.
        let syncing = tokio::task::spawn_blocking(move || to_sync.sync());
        let packed = packed.await?;
        let synced = syncing.await.expect("writing back does not panic");
        synced.map_err(VolumeError::io("write back", &self.file))?;
        Ok(packed)
    }

    /// How many of the store's blocks the job read.
    pub fn blocks_read(&self) -> usize {
        self.blocks.blocks_read()
    }

    /// What was fetched from the store.
    pub fn traffic(&self) -> Traffic {
        self.blocks.source().traffic()
    }
}

/// The volume's own fault if it has one: it explains what the kernel says.
fn reason(blocks: &Blocks, error: VolumeError) -> VolumeError {
    blocks.fault().map_or(error, VolumeError::Fault)
}

fn local_file(folder: &Path) -> PathBuf {
    folder.join("volume.img")
}

/// A new, empty file that nobody else may read. One that a crash left is replaced.
fn create_local_file(folder: &Path) -> Result<File, VolumeError> {
    make_private_folder(folder).map_err(VolumeError::io("make the directory", folder))?;
    remove_local_file(folder)?;
    let path = local_file(folder);
    OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)
        .map_err(VolumeError::io("create", &path))
}

/// Removes the local file of a volume that is closed.
pub fn remove_local_file(folder: &Path) -> Result<(), VolumeError> {
    let path = local_file(folder);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(VolumeError::io("remove", &path)(error))
        }
        _ => Ok(()),
    }
}

/// FUSE, loop device and ext4, in the room. What was mounted is unmounted again on a fault.
fn mount_all(
    blocks: Arc<Blocks>,
    options: &VolumeOptions,
    empty: bool,
    runtime: &Handle,
) -> Result<(Disk, LoopDevice, Option<WriteBack>), VolumeError> {
    for folder in [&options.fuse, &options.mount] {
        std::fs::create_dir_all(folder).map_err(VolumeError::io("make the directory", folder))?;
    }
    let disk = Disk::mount(Arc::clone(&blocks), &options.fuse, runtime)?;
    let mounted = LoopDevice::attach(&options.fuse.join(FILE_NAME)).and_then(|device| {
        if empty {
            filesystem::make(&device.path)?;
        }
        filesystem::mount(&device.path, &options.mount)?;
        Ok(device)
    });
    match mounted {
        Ok(device) => Ok((disk, device, WriteBack::begin(&options.mount, blocks))),
        Err(error) => {
            // The device is gone with its last descriptor; the first error is the one to tell.
            let unmounted = filesystem::unmount(&options.fuse, UNMOUNT_LIMIT);
            tracing::debug!(?unmounted, "after a failed mount");
            Err(error)
        }
    }
}

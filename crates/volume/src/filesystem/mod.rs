//! ext4 on the volume: made, mounted, trimmed, unmounted, and found clean.
//!
//! The options and their reasons:
//!
//! | option | why |
//! |---|---|
//! | `^has_journal` | a volume that was not unmounted is never published, so a journal only adds writes |
//! | `^resize_inode`, `sparse_super2`, `-G 512`, `packed_meta_blocks=1` | metadata in few, neighbouring blocks: 6 blocks of 64 KiB are not zero after mkfs of 64 GiB, 112 with the defaults |
//! | `-i 32768` | `node_modules` and the like run out of inodes before bytes |
//! | `-m 0` | no reserve for root: the engine is root |
//! | `nodiscard`, `lazy_itable_init=1` | the file is sparse and zero already |
//! | mount `noatime` | reading would dirty blocks (33 of them in a small job) |
//! | mount `noinit_itable` | otherwise every clone zeroes inode tables again (8.8 GiB at one vendor) |
//! | mount `inode_readahead_blks=16`, `no_prefetch_block_bitmaps` | what the kernel reads ahead of its own accord would be a request: of tables no more than the block of the volume that is fetched anyway, of bitmaps (1,600 at 200 GB) none |
//! | mount `errors=remount-ro` | the first error ends the writing; the volume is then not published |
//!
//! The size is chosen once and never changed: growing touches every group descriptor.

pub mod attached;
mod free;
mod mounts;
mod owners;
mod write_back;

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use larder_local::child::{Limits, NoAnswer, ask};
use larder_model::limits::BLOCK_BYTES;
use rustix::io::Errno;
use rustix::ioctl::{Opcode, Updater, ioctl};
use rustix::mount::{MountFlags, MountPropagationFlags};

use crate::blocks::Blocks;
use crate::error::VolumeError;
pub(crate) use free::{clear as clear_free_pages, touched};
pub(crate) use mounts::{unmount, unmount_below};
pub(crate) use write_back::WriteBack;

/// `_IOWR('X', 121, struct fstrim_range)` of `include/uapi/linux/fs.h`.
const FITRIM: Opcode = 0xC018_5879;

const MKFS: &str = "mkfs.ext4";
/// It takes a fifth of a second; the disk that it writes to is this machine's.
const MKFS_LIMITS: Limits = Limits {
    time: Duration::from_secs(120),
    ..Limits::QUICK
};
const SUPERBLOCK_OFFSET: u64 = 1024;
const SUPERBLOCK_BYTES: usize = 1024;

#[repr(C)]
struct TrimRange {
    start: u64,
    len: u64,
    min_len: u64,
}

/// Makes an ext4 file system on a device.
pub(crate) fn make(device: &Path) -> Result<(), VolumeError> {
    // `sudo` and CI agents often leave sbin out of PATH.
    let usual = larder_local::programs::find(MKFS, &[]);
    let mut mkfs = Command::new(usual.unwrap_or(MKFS.into()));
    mkfs.args([
        "-q", "-F", "-b", "4096", "-m", "0", "-i", "32768", "-G", "512", "-L", "larder",
    ])
    .args(["-O", "^has_journal,^resize_inode,sparse_super2"])
    .args(["-E", "nodiscard,lazy_itable_init=1,packed_meta_blocks=1"])
    .arg(device);
    match ask(&mut mkfs, "", MKFS_LIMITS) {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(VolumeError::Program {
            program: MKFS,
            output: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        }),
        Err(NoAnswer::Io(error)) if error.kind() == io::ErrorKind::NotFound => {
            Err(VolumeError::Missing {
                what: format!("{MKFS} is not installed"),
                cure: "install the package e2fsprogs",
            })
        }
        Err(NoAnswer::Io(error)) => Err(VolumeError::io("run mkfs.ext4 on", device)(error)),
        Err(why) => Err(VolumeError::Program {
            program: MKFS,
            output: why.to_string(),
        }),
    }
}

/// Mounts the file system, in the calling thread's mount namespace, shared with nobody. The kernel reads no table and no
/// bitmap ahead beyond the block that is fetched for it anyway: each would be a request.
pub(crate) fn mount(device: &Path, folder: &Path) -> Result<(), VolumeError> {
    let with = |options| rustix::mount::mount(device, folder, "ext4", MountFlags::NOATIME, options);
    let mounted = match with(
        c"noinit_itable,errors=remount-ro,inode_readahead_blks=16,no_prefetch_block_bitmaps",
    ) {
        // Linux reads bitmaps ahead since 5.13, and knows the last option since then.
        Err(Errno::INVAL) => with(c"noinit_itable,errors=remount-ro,inode_readahead_blks=16"),
        mounted => mounted,
    };
    mounted.map_err(VolumeError::io("mount ext4 at", folder))?;
    rustix::mount::mount_change(folder, MountPropagationFlags::PRIVATE)
        .map_err(VolumeError::io("make private", folder))
}

/// Writes what is still to be written. Until then it has no place on the volume, and a trim would
/// count it as free.
pub(crate) fn write_back(folder: &Path) -> Result<(), VolumeError> {
    let opened = File::open(folder).map_err(VolumeError::io("open", folder))?;
    rustix::fs::syncfs(&opened).map_err(VolumeError::io("write back", folder))
}

/// Tells the device which space is free in some ranges of the volume (in bytes). Free extents
/// shorter than a block are left out.
pub(crate) fn trim(folder: &Path, ranges: &[Range<u64>]) -> Result<(), VolumeError> {
    let opened = File::open(folder).map_err(VolumeError::io("open", folder))?;
    for range in ranges {
        let mut range = TrimRange {
            start: range.start,
            len: range.end - range.start,
            min_len: BLOCK_BYTES as u64,
        };
        // SAFETY: FITRIM reads and writes a `struct fstrim_range`, which TrimRange mirrors.
        #[allow(unsafe_code)]
        let trimmed = unsafe { ioctl(&opened, Updater::<FITRIM, TrimRange>::new(&mut range)) };
        trimmed.map_err(VolumeError::io("trim", folder))?;
    }
    Ok(())
}

/// Checks that the unmounted file system says of itself that it is clean and never met an error:
/// the two facts of the superblock that replace a file system check.
///
/// Fields of `struct ext4_super_block` (`fs/ext4/ext4.h`): `s_magic` at 0x38, `s_state` at 0x3A,
/// `s_error_count` at 0x194.
pub(crate) async fn check_clean(blocks: &Blocks) -> Result<(), VolumeError> {
    let range = SUPERBLOCK_OFFSET..SUPERBLOCK_OFFSET + SUPERBLOCK_BYTES as u64;
    let mut bytes = [0; SUPERBLOCK_BYTES];
    let read = async {
        blocks.make_local(range.clone()).await?;
        blocks.read_at(&mut bytes, range.start)
    };
    read.await
        .map_err(VolumeError::io("read the superblock of", "the volume"))?;
    let magic = u16::from_le_bytes([bytes[0x38], bytes[0x39]]);
    let state = u16::from_le_bytes([bytes[0x3A], bytes[0x3B]]);
    let errors = u32::from_le_bytes([bytes[0x194], bytes[0x195], bytes[0x196], bytes[0x197]]);
    Err(VolumeError::Unclean(match (magic, state, errors) {
        (0xEF53, 1, 0) => return Ok(()),
        (0xEF53, _, 1..) => format!("its file system met {errors} errors"),
        (0xEF53, _, 0) => format!("its file system was not unmounted cleanly (state {state})"),
        _ => format!("it holds no ext4 file system (magic {magic:#06x})"),
    }))
}

//! What ext4 calls free: where a trim has to look, and zeroing it in the blocks that are to be stored.
//!
//! A trim that looks everywhere reads the bitmap of every group, and costs what the volume holds. What is free where a
//! job allocated and freed nothing, an earlier trim has told already; and where it did, the bitmap is among what it
//! wrote.
//!
//! A trim frees whole blocks of 64 KiB; a deleted file of a page or two leaves its content between pages that
//! are in use, and a block is stored whole. So once the file system is unmounted its own bitmaps say which
//! pages of the written blocks are free. By then it has also given back what it held for small files
//! (`fs/ext4/mballoc.c`, locality groups), which a trim counts as used. Nothing is fetched for this: where
//! the job allocated or freed anything, the kernel has read the bitmap.
//!
//! What else may outlive a file, the kernel clears itself: the rest of a file's last page when it writes or
//! cuts it, a directory's entry when it is removed (since Linux 5.13). There is no journal.
//!
//! The crates that know ext4 read files and no bitmaps (`ext4-view`); `dumpe2fs` would read the bitmaps of
//! the whole volume, most of which are not here.
//!
//! # Data format (Linux, `Documentation/filesystems/ext4`), numbers little-endian
//!
//! ```text
//! "Super Block", at byte 1024:
//!     0x04 blocks u32 · 0x14 first data block u32 · 0x18 block size as a power of two of KiB u32
//!     0x20 blocks in a group u32 · 0x60 incompatible features u32 · 0x64 read-only features u32
//!     0xFE bytes of a descriptor u16 (with 64bit) · 0x150 upper half of blocks u32 (with 64bit)
//! "Block Group Descriptors", one after the other from the block behind the superblock's:
//!     0x00 the block bitmap's block u32 · 0x0C free blocks u16 · 0x12 flags u16
//!     0x20 upper half of 0x00 u32 · 0x2C upper half of 0x0C u16 (with 64bit)
//! "Block and Inode Bitmaps": a bit for each block of the group, the lowest first; set: in use
//! ```

use std::collections::HashMap;
use std::io;
use std::ops::Range;

use larder_model::limits::{PAGE_BYTES, PAGES_PER_BLOCK};

use super::{SUPERBLOCK_BYTES, SUPERBLOCK_OFFSET};
use crate::blocks::Blocks;

const INCOMPAT_64BIT: u32 = 0x80;
/// Those that change nothing of the above: entries with types, extents, 64 bits, metadata of many groups in
/// one place, a seed for checksums, large attributes, large directories, small files in their inodes.
const INCOMPAT_KNOWN: u32 = 0x2 | 0x40 | INCOMPAT_64BIT | 0x200 | 0x2000 | 0x400 | 0x4000 | 0x8000;
/// Bits that stand for several blocks.
const RO_COMPAT_BIGALLOC: u32 = 0x200;
/// The group's bitmap was never written. Nothing was ever allocated in it either.
const BLOCK_UNINIT: u16 = 2;

/// Zeroes the free pages of the blocks that are to be stored.
pub(crate) fn clear(blocks: &Blocks) -> io::Result<()> {
    let Some(mut free) = FreePages::of(reader(blocks))? else {
        tracing::warn!("the file system is of an unknown form: pages of deleted files are stored");
        return Ok(());
    };
    for block in blocks.written() {
        match free.of_block(block)? {
            0 => {}
            pages => blocks.clear_pages(block, pages)?,
        }
    }
    Ok(())
}

/// The parts of the volume in which the job allocated or freed anything, in bytes. The file system must have been
/// written back. `None` if it is of an unknown form.
pub(crate) fn touched(blocks: &Blocks) -> io::Result<Option<Vec<Range<u64>>>> {
    let Some(free) = FreePages::of(reader(blocks))? else {
        return Ok(None);
    };
    let mut written = blocks.written();
    written.sort_unstable();
    let mut touched: Vec<Range<u64>> = Vec::new();
    let pages = free.pages.min(blocks.volume_bytes() / PAGE_BYTES as u64);
    for group in 0..pages.div_ceil(free.pages_in_group) {
        let descriptor = free.descriptor(group)?;
        let is_touched = descriptor.is_none_or(|descriptor| {
            let block = descriptor.bitmap / PAGES_PER_BLOCK as u64;
            written.binary_search(&block).is_ok()
        });
        if is_touched {
            let bytes = free.pages_in_group * PAGE_BYTES as u64;
            let start = group * bytes;
            match touched.last_mut().filter(|last| last.end == start) {
                Some(last) => last.end += bytes,
                None => touched.push(start..start + bytes),
            }
        }
    }
    Ok(Some(touched))
}

/// Reads what is here. Where to is what somebody wrote in the volume.
fn reader(blocks: &Blocks) -> impl Fn(u64, &mut [u8]) -> io::Result<bool> {
    |offset, buffer| {
        let is_within = offset.saturating_add(buffer.len() as u64) <= blocks.volume_bytes();
        Ok(is_within && blocks.read_if_local(offset, buffer)?)
    }
}

/// What is needed of a group's descriptor.
struct Descriptor {
    /// The page of its bitmap.
    bitmap: u64,
    /// Pages that are free.
    free: u32,
    /// Whether the bitmap was never written.
    is_blank: bool,
}

/// Which pages a file system does not use.
struct FreePages<R> {
    /// Fills a buffer from the volume, or says that it is not all here.
    read: R,
    pages: u64,
    pages_in_group: u64,
    descriptor_bytes: u64,
    /// The bitmaps that were looked at; nothing for a group of which it is not known what is free.
    bitmaps: HashMap<u64, Option<Vec<u8>>>,
}

impl<R: Fn(u64, &mut [u8]) -> io::Result<bool>> FreePages<R> {
    fn of(read: R) -> io::Result<Option<Self>> {
        let mut bytes = [0; SUPERBLOCK_BYTES];
        if !read(SUPERBLOCK_OFFSET, &mut bytes)? {
            return Ok(None);
        }
        let (incompatible, read_only) = (u32_at(&bytes, 0x60), u32_at(&bytes, 0x64));
        let has_64_bits = incompatible & INCOMPAT_64BIT != 0;
        let [upper, descriptor_bytes] = if has_64_bits {
            [u32_at(&bytes, 0x150), u16_at(&bytes, 0xFE).into()]
        } else {
            [0, 32]
        };
        let pages_in_group = u64::from(u32_at(&bytes, 0x20));
        let is_known = incompatible & !INCOMPAT_KNOWN == 0
            && read_only & RO_COMPAT_BIGALLOC == 0
            && (32..=1024).contains(&descriptor_bytes)
            && 1024_u64.checked_shl(u32_at(&bytes, 0x18)) == Some(PAGE_BYTES as u64)
            && u32_at(&bytes, 0x14) == 0
            && (1..=8 * PAGE_BYTES as u64).contains(&pages_in_group)
            && pages_in_group.is_multiple_of(PAGES_PER_BLOCK as u64);
        Ok(is_known.then_some(Self {
            read,
            pages: u64::from(upper) << 32 | u64::from(u32_at(&bytes, 4)),
            pages_in_group,
            descriptor_bytes: descriptor_bytes.into(),
            bitmaps: HashMap::new(),
        }))
    }

    /// The free pages of a block of the volume, one bit each.
    fn of_block(&mut self, block: u64) -> io::Result<u16> {
        let page = block * PAGES_PER_BLOCK as u64;
        let (group, within) = (page / self.pages_in_group, page % self.pages_in_group);
        if !self.bitmaps.contains_key(&group) {
            let bitmap = self.bitmap(group)?;
            self.bitmaps.insert(group, bitmap);
        }
        let bitmap = self.bitmaps[&group].as_deref();
        Ok(bitmap.map_or(0, |bitmap| !u16_at(bitmap, within as usize / 8)))
    }

    /// A group's descriptor, if it is here.
    fn descriptor(&self, group: u64) -> io::Result<Option<Descriptor>> {
        let mut bytes = vec![0; self.descriptor_bytes as usize];
        let offset = PAGE_BYTES as u64 + group * self.descriptor_bytes;
        if !(self.read)(offset, &mut bytes)? {
            return Ok(None);
        }
        let mut bitmap = u64::from(u32_at(&bytes, 0));
        let mut free = u32::from(u16_at(&bytes, 0x0C));
        if bytes.len() >= 64 {
            bitmap |= u64::from(u32_at(&bytes, 0x20)) << 32;
            free |= u32::from(u16_at(&bytes, 0x2C)) << 16;
        }
        let is_blank = u16_at(&bytes, 0x12) & BLOCK_UNINIT != 0;
        Ok(Some(Descriptor {
            bitmap,
            free,
            is_blank,
        }))
    }

    fn bitmap(&self, group: u64) -> io::Result<Option<Vec<u8>>> {
        let first = group * self.pages_in_group;
        let descriptor = match self.descriptor(group)? {
            Some(descriptor) if first < self.pages && !descriptor.is_blank => descriptor,
            _ => return Ok(None),
        };
        let place = descriptor.bitmap.saturating_mul(PAGE_BYTES as u64);
        let mut bitmap = vec![0; PAGE_BYTES];
        if descriptor.bitmap >= self.pages || !(self.read)(place, &mut bitmap)? {
            return Ok(None);
        }
        // A bitmap that was misread would clear what is in use: it must agree with its descriptor.
        let pages = self.pages_in_group.min(self.pages - first) as usize;
        bitmap[pages.div_ceil(8)..].fill(u8::MAX);
        let unused: u32 = bitmap.iter().map(|byte| byte.count_zeros()).sum();
        Ok((unused == descriptor.free).then_some(bitmap))
    }
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16_at(bytes, at)) | u32::from(u16_at(bytes, at + 2)) << 16
}

//! Overwriting what a bolt database no longer uses.
//!
//! bbolt never clears a page that it frees, so deleted values stay in the file until the page is
//! used again. Pages in use hold nothing old: their buffers are cleared before use (bbolt
//! `tx.go`, Commit). containerd writes no free list (`NoFreelistSync`), so what is in use is found as
//! bbolt itself finds it at open: by walking the tree. Nothing is written unless the whole walk
//! succeeds.
//!
//! # Data format (bbolt `internal/common/{page,meta,bucket}.go`), numbers little-endian
//!
//! ```text
//! page      id u64 · flags u16 · count u16 · overflow u32 · contents, also of `overflow` more pages
//! pages 0 and 1 hold a meta each, written in turn; contents:
//!           magic u32 = ed0cdaed · version u32 = 2 · page size u32 · flags u32
//!           root bucket · free list's page u64 · pages in all u64 · transaction u64
//!           checksum u64: FNV-1a of all before it
//! bucket    its tree's first page u64 (0: the page follows here) · sequence u64
//! branch    flag 1; count × (key's offset u32 · key's size u32 · page u64)
//! leaf      flag 2; count × (flags u32, 1 for a bucket · key's offset u32 · key's size u32 · value's u32);
//!           a value follows its key; offsets count from the element
//! ```

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use crate::error::{EngineError, Result};
use crate::paths::read;

pub(super) const HEADER_BYTES: usize = 16;
const META_BYTES: usize = 64;
pub(super) const ELEMENT_BYTES: usize = 16;
pub(super) const BUCKET_BYTES: usize = 16;
const MAGIC: u32 = 0xED0C_DAED;
pub(super) const BRANCH: u16 = 1;
pub(super) const LEAF: u16 = 2;
pub(super) const BUCKET: u32 = 1;
/// "No free list": what `NoFreelistSync` leaves in the meta.
pub(super) const NO_PAGE: u64 = u64::MAX;
/// bbolt takes the system's page size, at most 64 KiB on Linux.
pub(super) const MAX_PAGE_BYTES: usize = 64 * 1024;

/// A tree that is deeper than this is none.
pub(super) const DEPTH_MAX: usize = 32;
/// The largest database that is read: one of some hundred thousand images' layers.
const MAX_BYTES: u64 = 1 << 30;
/// What is read of a database's pages to find its containers: of each namespace the page of its buckets and
/// the first of its containers'.
const MAX_LOOKED_AT_BYTES: usize = 4 << 20;

/// Clears the unused pages of a database that nobody has open.
pub(super) fn zero_unused_pages(path: &Path) -> Result<()> {
    let failed = || EngineError::io("cannot scrub the database", path);
    let bytes = read(path, MAX_BYTES).map_err(failed())?;
    let (used, database) = database(&bytes)
        .and_then(|database| Some((database.used_pages()?, database)))
        .ok_or_else(|| EngineError::Malformed {
            what: "the pages in use",
            path: path.to_owned(),
            message: "not a sound bolt database".to_owned(),
        })?;
    let file = File::options().write(true).open(path).map_err(failed())?;
    let zeros = vec![0; database.page_bytes];
    for (offset, page) in bytes
        .chunks(database.page_bytes)
        .enumerate()
        .filter(|(n, _)| used.get(*n) != Some(&true))
    {
        // Clearing what is clear would dirty blocks for nothing.
        if page.iter().any(|&b| b != 0) {
            file.write_all_at(&zeros[..page.len()], (offset * database.page_bytes) as u64)
                .map_err(failed())?;
        }
    }
    Ok(())
}

/// A database as of its last transaction.
pub(super) struct Database<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) page_bytes: usize,
    /// Its meta.
    pub(super) meta: &'a [u8],
    pub(super) root: u64,
    pub(super) free_list: u64,
    pub(super) pages: usize,
    pub(super) transaction: u64,
}

/// The second meta lies one page on, whose size the first may be too torn to tell.
pub(super) fn database(bytes: &[u8]) -> Option<Database<'_>> {
    let sizes = (10..).map(|power| 1 << power);
    let offsets = std::iter::once(0).chain(sizes.take_while(|size| *size <= MAX_PAGE_BYTES));
    let metas = offsets.filter_map(|offset| meta_at(bytes, offset));
    metas.max_by_key(|database| database.transaction)
}

fn meta_at(bytes: &[u8], offset: usize) -> Option<Database<'_>> {
    let meta = bytes.get(offset + HEADER_BYTES..offset + HEADER_BYTES + META_BYTES)?;
    let page_bytes = u32_at(meta, 8)? as usize;
    let sound = u32_at(meta, 0)? == MAGIC
        && u64_at(meta, 56)? == checksum(&meta[..56])
        && (1024..=MAX_PAGE_BYTES).contains(&page_bytes)
        // Not a copy somewhere in a value.
        && (offset == 0 || offset == page_bytes);
    sound.then_some(Database {
        bytes,
        page_bytes,
        meta,
        root: u64_at(meta, 16)?,
        free_list: u64_at(meta, 32)?,
        pages: u64_at(meta, 40)? as usize,
        transaction: u64_at(meta, 48)?,
    })
}

impl Database<'_> {
    /// Which pages the metas, the free list and the tree take; `None` if anything is amiss.
    pub(super) fn used_pages(&self) -> Option<Vec<bool>> {
        let bytes = self.pages.checked_mul(self.page_bytes)?;
        if self.pages < 2 || self.bytes.len() < bytes {
            return None;
        }
        let mut used = vec![false; self.pages];
        used[..2].fill(true);
        if self.free_list != NO_PAGE {
            self.claim(self.free_list, &mut used)?;
        }
        let mut waiting = vec![self.root];
        while let Some(page) = waiting.pop() {
            let contents = self.claim(page, &mut used)?;
            children(contents, &mut waiting)?;
        }
        Some(used)
    }

    /// Marks a page and its overflow as used; no page is used twice.
    fn claim(&self, page: u64, used: &mut [bool]) -> Option<&[u8]> {
        let first = usize::try_from(page)
            .ok()
            .filter(|&first| first < self.pages)?;
        let start = first * self.page_bytes;
        let overflow = u32_at(&self.bytes[start..], 12)? as usize;
        let claimed = used.get_mut(first..=first.checked_add(overflow)?)?;
        if u64_at(&self.bytes[start..], 0)? != page || claimed.contains(&true) {
            return None;
        }
        claimed.fill(true);
        self.bytes
            .get(start..start + (1 + overflow) * self.page_bytes)
    }
}

/// Adds the pages that a page of the tree points to. A bucket whose page lies within has no further ones (bbolt
/// `bucket.go`, `inlineable`).
fn children(page: &[u8], found: &mut Vec<u64>) -> Option<()> {
    let (flags, count) = (u16_at(page, 8)?, u16_at(page, 10)?);
    for n in 0..usize::from(count) {
        let element = page.get(HEADER_BYTES + n * ELEMENT_BYTES..)?;
        match flags {
            BRANCH => found.push(u64_at(element, 8)?),
            LEAF if u32_at(element, 0)? == BUCKET => {
                let value = u32_at(element, 4)? as usize + u32_at(element, 8)? as usize;
                let root = u64_at(element.get(value..)?, 0)?;
                found.extend(Some(root).filter(|root| *root != 0));
            }
            LEAF => {}
            _ => return None,
        }
    }
    matches!(flags, BRANCH | LEAF).then_some(())
}

/// Whether there is a container in a database of containerd, in any namespace: a key in
/// `v1/<namespace>/containers` (containerd `metadata/buckets.go`). Only the pages on the way are read. If
/// they lead nowhere there may be one; a file that is no database has none.
pub(super) fn has_containers(path: &Path) -> Result<bool> {
    let Some((mut tree, root)) = Tree::open(path, MAX_LOOKED_AT_BYTES)? else {
        return Ok(false);
    };
    let found = tree.page(root).and_then(|root| {
        tree.any(&root, &mut |tree, version| {
            let is_known = version.key == b"v1";
            Some(is_known && tree.any_in(version, &mut Tree::has_container)?)
        })
    });
    Ok(found.unwrap_or(true))
}

/// A database's file, read page by page.
pub(super) struct Tree {
    file: File,
    page_bytes: usize,
    /// Bytes that may still be looked at.
    left: usize,
    /// Branches that may still be gone down.
    depth: usize,
}

/// A bucket or a value, by its key.
pub(super) struct Element<'a> {
    is_bucket: bool,
    pub(super) key: &'a [u8],
    pub(super) value: &'a [u8],
}

/// Says whether an element is what is looked for; `None` if it cannot be told.
pub(super) type Is<'a> = &'a mut dyn FnMut(&mut Tree, &Element<'_>) -> Option<bool>;

impl Tree {
    /// Opens a database to look at so many bytes of it, and says which page is the root; `None` if it is none.
    pub(super) fn open(path: &Path, left: usize) -> Result<Option<(Self, u64)>> {
        let failed = || EngineError::io("cannot read", path);
        let file = File::open(path).map_err(failed())?;
        let length = file.metadata().map_err(failed())?.len();
        let mut start = vec![0; length.min(2 * MAX_PAGE_BYTES as u64) as usize];
        file.read_exact_at(&mut start, 0).map_err(failed())?;
        let found = database(&start).map(|database| (database.page_bytes, database.root));
        Ok(found.map(|(page_bytes, root)| {
            let tree = Self {
                file,
                page_bytes,
                left,
                depth: DEPTH_MAX,
            };
            (tree, root)
        }))
    }

    fn has_container(&mut self, namespace: &Element<'_>) -> Option<bool> {
        self.any_in(namespace, &mut |tree, bucket| {
            let is_known = bucket.key == b"containers";
            Some(is_known && tree.any_in(bucket, &mut |_, _| Some(true))?)
        })
    }

    /// Whether any element of a bucket is what is looked for. A value has none.
    pub(super) fn any_in(&mut self, bucket: &Element<'_>, is: Is<'_>) -> Option<bool> {
        if !bucket.is_bucket {
            return Some(false);
        }
        match u64_at(bucket.value, 0)? {
            0 => self.any(bucket.value.get(BUCKET_BYTES..)?, is),
            root => {
                let page = self.page(root)?;
                self.any(&page, is)
            }
        }
    }

    /// Whether any element of the leaves below a page is.
    pub(super) fn any(&mut self, page: &[u8], is: Is<'_>) -> Option<bool> {
        let (flags, count) = (u16_at(page, 8)?, u16_at(page, 10)?);
        for n in 0..usize::from(count) {
            self.left = self.left.checked_sub(ELEMENT_BYTES)?;
            let element = page.get(HEADER_BYTES + n * ELEMENT_BYTES..)?;
            let found = match flags {
                BRANCH => {
                    let below = self.page(u64_at(element, 8)?)?;
                    self.depth = self.depth.checked_sub(1)?;
                    let found = self.any(&below, &mut *is)?;
                    self.depth += 1;
                    found
                }
                LEAF => {
                    let numbers = [4, 8, 12].map(|at| u32_at(element, at));
                    let [key, size, length] = numbers.map(|number| number.map(|it| it as usize));
                    let value = key? + size?;
                    let leaf = Element {
                        is_bucket: u32_at(element, 0)? == BUCKET,
                        key: element.get(key?..value)?,
                        value: element.get(value..value + length?)?,
                    };
                    is(self, &leaf)?
                }
                _ => return None,
            };
            if found {
                return Some(true);
            }
        }
        Some(false)
    }

    /// A page with what overflows from it.
    pub(super) fn page(&mut self, id: u64) -> Option<Vec<u8>> {
        let offset = id.checked_mul(self.page_bytes as u64)?;
        let mut header = [0; HEADER_BYTES];
        self.file.read_exact_at(&mut header, offset).ok()?;
        let bytes = (1 + u32_at(&header, 12)? as usize).checked_mul(self.page_bytes)?;
        self.left = self.left.checked_sub(bytes)?;
        let mut page = vec![0; bytes];
        self.file.read_exact_at(&mut page, offset).ok()?;
        Some(page)
    }
}

pub(super) fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &b| {
        (hash ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3)
    })
}

pub(super) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

#[cfg(test)]
pub(super) mod tests;

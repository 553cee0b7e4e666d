//! Writing a bolt database anew when much of it is free. bbolt never shortens its file: after some large
//! jobs it stays as large as it ever was, and what is in use lies scattered over it, a fetch for each piece at
//! the next start.
//!
//! BuildKit keeps what its build records name in a namespace of its own (`solver/llbsolver/history.go`). The
//! records are removed by each scrub, and nobody else would ever remove what they named: some ten pages for each
//! build, and the blobs. So this namespace is left out, and containerd's collector removes the blobs when it
//! runs next.
//!
//! The new file has what the old one has, page after page in the order of keys, as `bbolt compact` makes it
//! (bbolt `compact.go`); bolt.rs describes the format. It takes the old one's place whole or not at all.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

use super::bolt::{
    BRANCH, BUCKET, BUCKET_BYTES, DEPTH_MAX, Database, ELEMENT_BYTES, HEADER_BYTES, LEAF,
    MAX_PAGE_BYTES, NO_PAGE, checksum, database, u16_at, u32_at, u64_at,
};

use crate::error::{EngineError, Result, if_there};
use crate::paths::read;

/// A smaller file is one or two blocks of a volume, however much of it is free.
const PAGES_MIN: usize = 64;
/// Larger ones than any engine has are left as they are.
const MAX_BYTES: u64 = 256 << 20;
/// Flags of a page that holds a meta, and of one that holds the list of free pages.
const META: u16 = 4;
const FREE_LIST: u16 = 16;
/// The first page after the metas holds an empty list of free pages.
const FREE_LIST_PAGE: u64 = 2;
/// Below the first bucket of containerd's metadata, the version's, are the namespaces (containerd
/// `metadata/buckets.go`).
const NAMESPACES_LEVEL: usize = 1;
const RECORDS: &[u8] = b"_history";

/// What is in a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holds {
    /// containerd's metadata, or BuildKit's in its form: with the namespaces of build records.
    Namespaces,
    /// Something else.
    Other,
}

/// Writes a database that nobody has open anew, if that makes it a third smaller. Whether that was done.
pub(super) fn compact(path: &Path, holds: Holds) -> Result<bool> {
    let failed = || EngineError::io("cannot compact the database", path);
    if !may_be_smaller(path, holds).map_err(failed())? {
        return Ok(false);
    }
    let bytes = read(path, MAX_BYTES).map_err(failed())?;
    let Some(new) = database(&bytes).and_then(|old| smaller(&old, holds)) else {
        return Ok(false);
    };
    let unfinished = path.with_extension("db.new");
    if_there(fs::remove_file(&unfinished)).map_err(failed())?;
    let file = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&unfinished);
    let written = file.and_then(|mut file| file.write_all(&new));
    let placed = written.and_then(|()| fs::rename(&unfinished, path));
    placed.map_err(failed())?;
    Ok(true)
}

/// Whether it is worth to read all of it. The list of free pages says how many there are; the rest of a database
/// need not be on this machine, and is not fetched to find out. One with build records is small, and its
/// engine has read it.
fn may_be_smaller(path: &Path, holds: Holds) -> io::Result<bool> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut start = vec![0; length.min(2 * MAX_PAGE_BYTES as u64) as usize];
    file.read_exact_at(&mut start, 0)?;
    let Some(database) = database(&start).filter(|it| it.pages >= PAGES_MIN) else {
        return Ok(false);
    };
    if length > MAX_BYTES {
        return Ok(false);
    }
    if database.free_list == NO_PAGE || holds == Holds::Namespaces {
        return Ok(true);
    }
    let mut list = [0; HEADER_BYTES + 8];
    let Some(offset) = database.free_list.checked_mul(database.page_bytes as u64) else {
        return Ok(false);
    };
    file.read_exact_at(&mut list, offset)?;
    // A list that is too long for its count has that before its first number.
    let free = match u16_at(&list, 10) {
        Some(u16::MAX) => u64_at(&list, HEADER_BYTES),
        count => count.map(u64::from),
    };
    Ok(free.is_some_and(|free| free > database.pages as u64 / 3))
}

/// The same database, if it is a third smaller so.
fn smaller(old: &Database<'_>, holds: Holds) -> Option<Vec<u8>> {
    // Nothing is done with one that is not sound in all its pages.
    old.used_pages()?;
    let new = rewritten(old, holds)?;
    (new.len() / 2 * 3 < old.pages * old.page_bytes).then_some(new)
}

/// The same database in as few pages as it needs; nothing if it is not understood.
fn rewritten(old: &Database<'_>, holds: Holds) -> Option<Vec<u8>> {
    let mut writer = Writer {
        old,
        holds,
        page_bytes: old.page_bytes,
        bytes: vec![0; (FREE_LIST_PAGE as usize + 1) * old.page_bytes],
    };
    writer.put_header(FREE_LIST_PAGE, FREE_LIST, 0, 0);
    let root = writer.copy(&writer.page(old.root)?, 0)?;
    let pages = (writer.bytes.len() / old.page_bytes) as u64;
    // The newest of the two counts, and each transaction has its meta on the page of its parity.
    let transaction = (old.transaction / 2 * 2).checked_add(2)?;
    for id in 0..2 {
        writer.put_meta(id, root, pages, transaction + id);
    }
    Some(writer.bytes)
}

/// An element of a leaf, or of a branch (then the value is a page's number).
struct Element {
    flags: u32,
    key: Vec<u8>,
    value: Vec<u8>,
}

impl Element {
    fn bytes(&self) -> usize {
        ELEMENT_BYTES + self.key.len() + self.value.len()
    }
}

struct Writer<'a> {
    old: &'a Database<'a>,
    holds: Holds,
    page_bytes: usize,
    bytes: Vec<u8>,
}

impl Writer<'_> {
    /// A page of the old database, with what overflows from it.
    fn page(&self, id: u64) -> Option<Vec<u8>> {
        let start = usize::try_from(id).ok()?.checked_mul(self.page_bytes)?;
        let header = self.old.bytes.get(start..start + HEADER_BYTES)?;
        let pages = 1 + u32_at(header, 12)? as usize;
        let end = start.checked_add(pages.checked_mul(self.page_bytes)?)?;
        Some(self.old.bytes.get(start..end)?.to_vec())
    }

    /// Copies the tree of a bucket that begins with this page and is in so many others; the first page of the
    /// new one.
    fn copy(&mut self, first: &[u8], level: usize) -> Option<u64> {
        let mut elements = Vec::new();
        self.gather(first, (level, 0), &mut elements)?;
        let mut level = self.put_all(LEAF, elements);
        while level.len() > 1 {
            level = self.put_all(BRANCH, level);
        }
        u64_at(&level.pop()?.value, 0)
    }

    /// The elements of all leaves below a page, in order. Buckets are copied on the way.
    fn gather(
        &mut self,
        page: &[u8],
        (level, depth): (usize, usize),
        found: &mut Vec<Element>,
    ) -> Option<()> {
        let (flags, count) = (u16_at(page, 8)?, u16_at(page, 10)?);
        let depth = (level + depth < DEPTH_MAX).then_some(depth + 1)?;
        for n in 0..usize::from(count) {
            let element = page.get(HEADER_BYTES + n * ELEMENT_BYTES..)?;
            if flags == BRANCH {
                let below = self.page(u64_at(element, 8)?)?;
                self.gather(&below, (level, depth), found)?;
                continue;
            }
            if flags != LEAF {
                return None;
            }
            let numbers = [4, 8, 12].map(|at| u32_at(element, at));
            let [key, size, length] = numbers.map(|number| number.map(|it| it as usize));
            let (flags, key, start) = (u32_at(element, 0)?, key?, key? + size?);
            let mut value = element.get(start..start + length?)?.to_vec();
            let key = element.get(key..start)?.to_vec();
            if flags == BUCKET {
                if self.leaves_out(&key, level) {
                    continue;
                }
                value = self.copy_bucket(&value, level + 1)?;
            }
            found.push(Element { flags, key, value });
        }
        Some(())
    }

    fn leaves_out(&self, bucket: &[u8], level: usize) -> bool {
        let is_namespace = self.holds == Holds::Namespaces && level == NAMESPACES_LEVEL;
        is_namespace && bucket.ends_with(RECORDS)
    }

    /// A bucket's value: its first page's number, its sequence, and its page where that is small.
    fn copy_bucket(&mut self, value: &[u8], level: usize) -> Option<Vec<u8>> {
        let mut copy = value.to_vec();
        match u64_at(value, 0)? {
            // Small ones have no further buckets (bbolt `bucket.go`, `inlineable`).
            0 => {}
            root => {
                let root = self.copy(&self.page(root)?, level)?;
                copy.get_mut(..8)?.copy_from_slice(&root.to_le_bytes());
                copy.truncate(BUCKET_BYTES);
            }
        }
        Some(copy)
    }

    /// Writes elements to as many pages as they need; an element of a branch for each page.
    fn put_all(&mut self, flags: u16, elements: Vec<Element>) -> Vec<Element> {
        let room = self.page_bytes - HEADER_BYTES;
        let (mut pages, mut left) = (vec![Vec::new()], 0);
        for element in elements {
            let page: &mut Vec<Element> = pages.last_mut().expect("there is one");
            let bytes = element.bytes();
            // bbolt splits no page that would then have fewer than two elements.
            if left < bytes && page.len() >= 2 {
                pages.push(vec![element]);
                left = room.saturating_sub(bytes);
            } else {
                left = if page.is_empty() { room } else { left }.saturating_sub(bytes);
                page.push(element);
            }
        }
        if flags == BRANCH && pages.last().is_some_and(|page| page.len() < 2) && pages.len() > 1 {
            // A branch to one page alone is none.
            let last = pages.pop().unwrap_or_default();
            pages.last_mut().expect("there are several").extend(last);
        }
        pages
            .into_iter()
            .map(|page| self.put(flags, &page))
            .collect()
    }

    fn put(&mut self, flags: u16, elements: &[Element]) -> Element {
        let id = (self.bytes.len() / self.page_bytes) as u64;
        let contents: usize = elements.iter().map(Element::bytes).sum();
        let pages = (HEADER_BYTES + contents).div_ceil(self.page_bytes).max(1);
        let start = self.bytes.len();
        self.bytes.resize(start + pages * self.page_bytes, 0);
        self.put_header(id, flags, elements.len() as u16, pages as u32 - 1);
        let mut at = start + HEADER_BYTES;
        let mut data = at + elements.len() * ELEMENT_BYTES;
        for element in elements {
            let (offset, key) = ((data - at) as u32, element.key.len() as u32);
            let head = if flags == LEAF {
                [element.flags, offset, key, element.value.len() as u32]
            } else {
                let [low, high] = [0, 4].map(|at| u32_at(&element.value, at).unwrap_or_default());
                [offset, key, low, high]
            };
            for number in head {
                self.put_bytes(&mut at, &number.to_le_bytes());
            }
            self.put_bytes(&mut data, &element.key);
            if flags == LEAF {
                self.put_bytes(&mut data, &element.value);
            }
        }
        Element {
            flags: 0,
            key: elements
                .first()
                .map(|first| first.key.clone())
                .unwrap_or_default(),
            value: id.to_le_bytes().to_vec(),
        }
    }

    fn put_bytes(&mut self, at: &mut usize, bytes: &[u8]) {
        self.bytes[*at..*at + bytes.len()].copy_from_slice(bytes);
        *at += bytes.len();
    }

    fn put_header(&mut self, id: u64, flags: u16, count: u16, overflow: u32) {
        let mut at = id as usize * self.page_bytes;
        self.put_bytes(&mut at, &id.to_le_bytes());
        self.put_bytes(&mut at, &flags.to_le_bytes());
        self.put_bytes(&mut at, &count.to_le_bytes());
        self.put_bytes(&mut at, &overflow.to_le_bytes());
    }

    fn put_meta(&mut self, id: u64, root: u64, pages: u64, transaction: u64) {
        self.put_header(id, META, 0, 0);
        let old = self.old;
        let mut meta = old.meta.to_vec();
        for (at, number) in [
            (16, root),
            (32, FREE_LIST_PAGE),
            (40, pages),
            (48, transaction),
        ] {
            meta[at..at + 8].copy_from_slice(&number.to_le_bytes());
        }
        let end = meta.len() - 8;
        let sum = checksum(&meta[..end]);
        meta[end..].copy_from_slice(&sum.to_le_bytes());
        let mut at = id as usize * self.page_bytes + HEADER_BYTES;
        self.put_bytes(&mut at, &meta);
    }
}

#[cfg(test)]
mod tests;

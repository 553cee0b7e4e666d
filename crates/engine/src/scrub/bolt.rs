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

use super::paths::read;
use crate::error::{EngineError, Result};

const HEADER_BYTES: usize = 16;
const META_BYTES: usize = 64;
const ELEMENT_BYTES: usize = 16;
const BUCKET_BYTES: usize = 16;
const MAGIC: u32 = 0xED0C_DAED;
const BRANCH: u16 = 1;
const LEAF: u16 = 2;
const BUCKET: u32 = 1;
/// "No free list": what `NoFreelistSync` leaves in the meta.
const NO_PAGE: u64 = u64::MAX;
/// bbolt takes the system's page size, at most 64 KiB on Linux.
const MAX_PAGE_BYTES: usize = 64 * 1024;

/// The largest database that is read: one of some hundred thousand images' layers.
const MAX_BYTES: u64 = 1 << 30;
/// What is read of a database's pages to find its containers: of each namespace the page of its buckets and
/// the first of its containers'.
const MAX_LOOKED_AT_BYTES: usize = 4 << 20;

/// Clears the unused pages of a database that nobody has open.
pub(super) fn zero_unused_pages(path: &Path) -> Result<()> {
    let failed = || EngineError::io("cannot scrub the database", path);
    let bytes = read(path, MAX_BYTES).map_err(failed())?;
    let (used, database) = newest_meta(&bytes)
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
struct Database<'a> {
    bytes: &'a [u8],
    page_bytes: usize,
    root: u64,
    free_list: u64,
    pages: usize,
    transaction: u64,
}

/// The second meta lies one page on, whose size the first may be too torn to tell.
fn newest_meta(bytes: &[u8]) -> Option<Database<'_>> {
    let sizes = (10..).map(|power| 1 << power);
    let offsets = std::iter::once(0).chain(sizes.take_while(|size| *size <= MAX_PAGE_BYTES));
    let metas = offsets.filter_map(|offset| meta_at(bytes, offset));
    metas.max_by_key(|database| database.transaction)
}

fn meta_at(bytes: &[u8], offset: usize) -> Option<Database<'_>> {
    let meta = bytes.get(offset + HEADER_BYTES..offset + HEADER_BYTES + META_BYTES)?;
    let page_bytes = u32_at(meta, 8)? as usize;
    let sound = u32_at(meta, 0)? == MAGIC
        && u64_at(meta, 56)? == fnv1a(&meta[..56])
        && (1024..=MAX_PAGE_BYTES).contains(&page_bytes)
        // Not a copy somewhere in a value.
        && (offset == 0 || offset == page_bytes);
    sound.then_some(Database {
        bytes,
        page_bytes,
        root: u64_at(meta, 16)?,
        free_list: u64_at(meta, 32)?,
        pages: u64_at(meta, 40)? as usize,
        transaction: u64_at(meta, 48)?,
    })
}

impl Database<'_> {
    /// Which pages the metas, the free list and the tree take; `None` if anything is amiss.
    fn used_pages(&self) -> Option<Vec<bool>> {
        if self.pages < 2 || self.bytes.len() < self.pages * self.page_bytes {
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

/// Adds the pages that a page of the tree points to; a bucket may hold its page within.
fn children(page: &[u8], found: &mut Vec<u64>) -> Option<()> {
    let (flags, count) = (u16_at(page, 8)?, u16_at(page, 10)?);
    for n in 0..usize::from(count) {
        let element = page.get(HEADER_BYTES + n * ELEMENT_BYTES..)?;
        match flags {
            BRANCH => found.push(u64_at(element, 8)?),
            LEAF if u32_at(element, 0)? == BUCKET => {
                let value = u32_at(element, 4)? as usize + u32_at(element, 8)? as usize;
                let bucket = element.get(value..)?;
                match u64_at(bucket, 0)? {
                    0 => children(bucket.get(BUCKET_BYTES..)?, found)?,
                    root => found.push(root),
                }
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
        let found = newest_meta(&start).map(|database| (database.page_bytes, database.root));
        Ok(found.map(|(page_bytes, root)| {
            let tree = Self {
                file,
                page_bytes,
                left,
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
                    self.any(&below, &mut *is)?
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

fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &b| {
        (hash ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3)
    })
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const PAGE: usize = 4096;

    fn page(id: u64, flags: u16, count: u16, overflow: u32, contents: &[u8]) -> Vec<u8> {
        let mut page = id.to_le_bytes().to_vec();
        page.extend(flags.to_le_bytes());
        page.extend(count.to_le_bytes());
        page.extend(overflow.to_le_bytes());
        page.extend(contents);
        page.resize(PAGE * (1 + overflow as usize), 0);
        page
    }

    fn meta(id: u64, transaction: u64, root: u64, pages: u64) -> Vec<u8> {
        let words = [
            u64::from(MAGIC) | 2 << 32,
            PAGE as u64,
            root,
            0,
            NO_PAGE,
            pages,
            transaction,
        ];
        let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        bytes.extend(fnv1a(&bytes).to_le_bytes());
        page(id, 4, 0, 0, &bytes)
    }

    fn leaf_of_bucket(bucket: &[u8]) -> Vec<u8> {
        // One element, a bucket: its key `k` lies right behind it.
        let mut contents: Vec<u8> = [BUCKET, 16, 1, bucket.len() as u32]
            .iter()
            .flat_map(|word| word.to_le_bytes())
            .collect();
        contents.push(b'k');
        contents.extend(bucket);
        contents
    }

    /// The newest root, page 3, is a branch to leaf 4, whose bucket has its tree in page 6, one
    /// overflow page long. Pages 2 (the older root) and 5 are no longer used.
    fn database() -> Vec<u8> {
        let branch: Vec<u8> = [0_u64, 4]
            .iter()
            .flat_map(|word| word.to_le_bytes())
            .collect();
        let bucket: Vec<u8> = [6_u64, 0]
            .iter()
            .flat_map(|word| word.to_le_bytes())
            .collect();
        [
            meta(0, 7, 3, 8),
            meta(1, 6, 2, 8),
            page(2, LEAF, 0, 0, b"old"),
            page(3, BRANCH, 1, 0, &branch),
            page(4, LEAF, 1, 0, &leaf_of_bucket(&bucket)),
            page(5, LEAF, 0, 0, b"secret"),
            page(6, LEAF, 0, 1, &[b'v'; PAGE]),
            b"beyond the last page".to_vec(),
        ]
        .concat()
    }

    fn zeroed(bytes: &[u8]) -> Result<Vec<u8>> {
        let path = tempfile::NamedTempFile::new().expect("a file");
        fs::write(path.path(), bytes).expect("written");
        let outcome = zero_unused_pages(path.path());
        let after = fs::read(path.path()).expect("readable");
        if outcome.is_err() {
            assert_eq!(after, bytes, "changed all the same");
        }
        outcome.map(|()| after)
    }

    #[test]
    fn only_pages_out_of_use_are_cleared() {
        let before = database();
        let mut expected = before.clone();
        expected[2 * PAGE..3 * PAGE].fill(0);
        expected[5 * PAGE..6 * PAGE].fill(0);
        expected[8 * PAGE..].fill(0);
        assert!(zeroed(&before).expect("sound") == expected);
    }

    #[test]
    fn anything_unsound_is_left_unchanged() {
        let broken = |at: usize, byte: u8| {
            let mut bytes = database();
            bytes[at] = byte;
            zeroed(&bytes).is_err()
        };
        assert!(broken(3 * PAGE + HEADER_BYTES + 8, 3), "a branch to itself");
        assert!(
            broken(3 * PAGE + HEADER_BYTES + 8, 99),
            "a branch beyond the end"
        );
        assert!(broken(4 * PAGE + 8, 0x10), "a tree page of another kind");
        assert!(broken(6 * PAGE + 12, 9), "an overflow beyond the end");
        assert!(broken(6 * PAGE, 5), "a page that says it is another");
        assert!(zeroed(&database()[..7 * PAGE]).is_err(), "a file cut short");
        assert!(zeroed(&[b'x'; 3 * PAGE]).is_err(), "no database");
    }

    /// A leaf page with these buckets and values, one after the other.
    fn leaf(id: u64, elements: &[(u32, &[u8], Vec<u8>)]) -> Vec<u8> {
        let (mut heads, mut contents) = (Vec::new(), Vec::new());
        for (n, (flags, key, value)) in elements.iter().enumerate() {
            let offset = (elements.len() - n) * ELEMENT_BYTES + contents.len();
            for number in [*flags, offset as u32, key.len() as u32, value.len() as u32] {
                heads.extend(number.to_le_bytes());
            }
            contents.extend_from_slice(key);
            contents.extend_from_slice(value);
        }
        page(
            id,
            LEAF,
            elements.len() as u16,
            0,
            &[heads, contents].concat(),
        )
    }

    /// A bucket whose tree begins at a page, or stands within.
    fn bucket(root: u64, within: &[u8]) -> Vec<u8> {
        let head: Vec<u8> = [root, 0].iter().flat_map(|it| it.to_le_bytes()).collect();
        [&head, within].concat()
    }

    fn has_containers_in(containers: Vec<u8>, more: &[Vec<u8>]) -> bool {
        let inline = |elements: &[(u32, &[u8], Vec<u8>)]| {
            let mut page = leaf(0, elements);
            page.truncate(600);
            bucket(0, &page)
        };
        let namespace = [
            (0, &b"a value"[..], b"x".to_vec()),
            (BUCKET, b"containers", containers),
            (
                BUCKET,
                b"images",
                inline(&[(BUCKET, b"an image", Vec::new())]),
            ),
        ];
        let namespaces = [(BUCKET, &b"moby"[..], bucket(4, &[]))];
        let database = [
            meta(0, 7, 2, 6),
            meta(1, 6, 2, 6),
            leaf(2, &[(BUCKET, b"v1", bucket(3, &[]))]),
            leaf(3, &namespaces),
            leaf(4, &namespace),
        ];
        let path = tempfile::NamedTempFile::new().expect("a file");
        fs::write(path.path(), [&database[..], more].concat().concat()).expect("written");
        has_containers(path.path()).expect("readable")
    }

    #[test]
    fn a_container_is_found_wherever_its_bucket_is() {
        let none = leaf(5, &[]);
        let one = leaf(5, &[(BUCKET, b"id", Vec::new())]);
        assert!(!has_containers_in(
            bucket(5, &[]),
            std::slice::from_ref(&none)
        ));
        assert!(has_containers_in(
            bucket(5, &[]),
            std::slice::from_ref(&one)
        ));
        assert!(!has_containers_in(bucket(0, &none[..64]), &[]));
        assert!(has_containers_in(bucket(0, &one[..64]), &[]));
        let branch: Vec<u8> = [0_u64, 6].iter().flat_map(|it| it.to_le_bytes()).collect();
        let below = [page(5, BRANCH, 1, 0, &branch), one];
        assert!(has_containers_in(bucket(5, &[]), &below));
        let to_itself: Vec<u8> = [0_u64, 5].iter().flat_map(|it| it.to_le_bytes()).collect();
        assert!(has_containers_in(
            bucket(5, &[]),
            &[page(5, BRANCH, 1, 0, &to_itself)]
        ));
        assert!(has_containers_in(bucket(99, &[]), &[]));
    }
}

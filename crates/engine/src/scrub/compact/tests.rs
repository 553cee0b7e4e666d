//! Databases with much that is free, and what becomes of them.

use super::super::bolt::has_containers;
use super::*;

const PAGE: usize = 4096;
const ROUNDS: u32 = 300;

type Item = (u32, Vec<u8>, Vec<u8>);

/// A database in the making, with free pages behind each that is used.
struct Sparse(Vec<u8>);

impl Sparse {
    fn put(&mut self, flags: u16, items: &[Item]) -> u64 {
        let id = (self.0.len() / PAGE) as u64;
        let (mut heads, mut data) = (Vec::new(), Vec::new());
        for (n, (kind, key, value)) in items.iter().enumerate() {
            let offset = ((items.len() - n) * ELEMENT_BYTES + data.len()) as u32;
            let sizes = [key.len() as u32, value.len() as u32];
            if flags == LEAF {
                let numbers = [*kind, offset, sizes[0], sizes[1]];
                heads.extend(numbers.iter().flat_map(|it| it.to_le_bytes()));
                data.extend([&key[..], value].concat());
            } else {
                heads.extend([offset, sizes[0]].iter().flat_map(|it| it.to_le_bytes()));
                heads.extend(value);
                data.extend(key);
            }
        }
        let pages = (HEADER_BYTES + heads.len() + data.len()).div_ceil(PAGE);
        self.0.extend(id.to_le_bytes());
        self.0.extend(flags.to_le_bytes());
        self.0.extend((items.len() as u16).to_le_bytes());
        self.0.extend((pages as u32 - 1).to_le_bytes());
        self.0.extend([heads, data].concat());
        self.0.resize((id as usize + pages) * PAGE, 0);
        self.0.resize(self.0.len() + 3 * PAGE, b'x');
        id
    }

    fn bucket(root: u64, sequence: u64, within: &[u8]) -> Vec<u8> {
        [&root.to_le_bytes()[..], &sequence.to_le_bytes(), within].concat()
    }

    fn end(mut self, root: u64) -> Vec<u8> {
        let pages = (self.0.len() / PAGE) as u64;
        for id in 0..2_u64 {
            let words = [
                0xED0C_DAED | 2 << 32,
                PAGE as u64,
                root,
                5,
                NO_PAGE,
                pages,
                6 + id,
            ];
            let mut meta: Vec<u8> = words.iter().flat_map(|it| it.to_le_bytes()).collect();
            meta.extend(checksum(&meta).to_le_bytes());
            let at = id as usize * PAGE;
            self.0[at..at + 8].copy_from_slice(&id.to_le_bytes());
            self.0[at + 8] = 4;
            self.0[at + HEADER_BYTES..at + HEADER_BYTES + meta.len()].copy_from_slice(&meta);
        }
        self.0
    }
}

fn value(key: &str, value: &[u8]) -> Item {
    (0, key.into(), value.into())
}

/// A bucket over many pages with a bucket in it, one that is small, a value over several pages.
fn sparse() -> Vec<u8> {
    let mut sparse = Sparse(vec![0; 2 * PAGE]);
    let mut branch = Vec::new();
    for n in 0..60 {
        let keys = (0..3).map(|m| value(&format!("key {n:02} {m}"), &[n; 700]));
        let mut items: Vec<Item> = keys.collect();
        if n == 7 {
            let inner = sparse.put(LEAF, &[value("deep", b"down")]);
            let inner = Sparse::bucket(inner, 9, &[]);
            items.push((BUCKET, b"key 07 in_history".into(), inner));
        }
        let id = sparse.put(LEAF, &items);
        branch.push((0, items[0].1.clone(), id.to_le_bytes().to_vec()));
    }
    let many = sparse.put(BRANCH, &branch);
    let mut small = Sparse(Vec::new());
    small.put(LEAF, &[value("k", b"v")]);
    let root = sparse.put(
        LEAF,
        &[
            value("large", &[b'l'; 3 * PAGE]),
            (BUCKET, b"many".into(), Sparse::bucket(many, 77, &[])),
            (
                BUCKET,
                b"small".into(),
                Sparse::bucket(0, 3, &small.0[..64]),
            ),
        ],
    );
    sparse.end(root)
}

/// All values, by the keys that lead to them; a bucket's own is its sequence.
fn contents(bytes: &[u8], page: &[u8], path: &str, found: &mut Vec<(String, Vec<u8>)>) {
    let count = u16_at(page, 10).expect("a page");
    for n in 0..usize::from(count) {
        let element = &page[HEADER_BYTES + n * ELEMENT_BYTES..];
        let number = |at| u32_at(element, at).expect("a number") as usize;
        let at = |id: u64| &bytes[id as usize * PAGE..];
        if u16_at(page, 8) == Some(BRANCH) {
            contents(bytes, at(u64_at(element, 8).expect("a page")), path, found);
            continue;
        }
        let (key, size, length) = (number(4), number(8), number(12));
        let name = String::from_utf8_lossy(&element[key..key + size]);
        let (path, value) = (format!("{path}/{name}"), &element[key + size..][..length]);
        if u32_at(element, 0) != Some(BUCKET) {
            found.push((path, value.to_vec()));
            continue;
        }
        found.push((path.clone(), value[8..16].to_vec()));
        match u64_at(value, 0).expect("a page") {
            0 => contents(bytes, &value[BUCKET_BYTES..], &path, found),
            root => contents(bytes, at(root), &path, found),
        }
    }
}

fn all(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    let database = database(bytes).expect("a database");
    assert!(database.used_pages().is_some(), "its pages are sound");
    let mut found = Vec::new();
    let root = &bytes[database.root as usize * PAGE..];
    contents(bytes, root, "", &mut found);
    found
}

#[test]
fn a_database_that_is_mostly_free_is_written_anew() {
    let path = tempfile::NamedTempFile::new().expect("a file");
    let before = sparse();
    fs::write(path.path(), &before).expect("written");
    assert!(compact(path.path(), Holds::Other).expect("compacted"));
    let after = fs::read(path.path()).expect("read");
    assert!(after.len() * 3 < before.len(), "{} bytes", after.len());
    let (old, new) = (all(&before), all(&after));
    assert_eq!(old.len(), 1 + 1 + 180 + 2 + 2);
    assert!(old == new);
    let newest = database(&after).expect("a database").transaction;
    assert_eq!((newest, after.len() % PAGE), (9, 0));
    // What is in use stays where it is.
    assert!(!compact(path.path(), Holds::Other).expect("looked at"));
    let unsound = [&before[..9 * PAGE], &before[10 * PAGE..]].concat();
    fs::write(path.path(), &unsound).expect("written");
    assert!(!compact(path.path(), Holds::Other).expect("looked at"));
    assert!(fs::read(path.path()).expect("read") == unsound);
}

#[test]
fn what_build_records_named_is_left_out() {
    let path = tempfile::NamedTempFile::new().expect("a file");
    fs::write(path.path(), sparse()).expect("written");
    assert!(compact(path.path(), Holds::Namespaces).expect("compacted"));
    let left = all(&fs::read(path.path()).expect("read"));
    let expected = all(&sparse()).into_iter();
    let expected: Vec<_> = expected
        .filter(|(name, _)| !name.contains("in_history"))
        .collect();
    assert_eq!(left.len(), 1 + 1 + 180 + 2);
    assert!(left == expected);
}

/// Numbers stand where pages begin; those of a meta count only with their checksum.
fn spoil(bytes: &mut [u8], random: &mut u64) {
    for _ in 0..6 {
        *random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        let (page, within, byte) = (*random >> 40, *random >> 20 & 0xff, *random >> 32 & 0xff);
        let page = page as usize % (bytes.len() / PAGE);
        bytes[page * PAGE + within as usize / 3] = byte as u8;
    }
    for meta in [HEADER_BYTES, PAGE + HEADER_BYTES] {
        let sum = checksum(&bytes[meta..meta + 56]);
        bytes[meta + 56..meta + 64].copy_from_slice(&sum.to_le_bytes());
    }
}

#[test]
fn whatever_a_database_says_there_is_an_answer() {
    let path = tempfile::NamedTempFile::new().expect("a file");
    let (whole, mut random) = (sparse(), 7);
    for round in 0..ROUNDS {
        let mut bytes = whole.clone();
        spoil(
            &mut bytes[if round % 2 == 0 {
                0..2 * PAGE
            } else {
                0..whole.len()
            }],
            &mut random,
        );
        fs::write(path.path(), &bytes).expect("written");
        has_containers(path.path()).expect("looked at");
        let sound = database(&bytes).is_some_and(|it| it.used_pages().is_some());
        let compacted = compact(path.path(), Holds::Namespaces).expect("looked at");
        assert!(sound || !compacted, "round {round}");
    }
}

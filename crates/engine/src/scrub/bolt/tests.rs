//! Databases made by hand, sound ones and others.

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
    bytes.extend(checksum(&bytes).to_le_bytes());
    page(id, 4, 0, 0, &bytes)
}

/// A database with nothing in it.
pub(crate) fn empty() -> Vec<u8> {
    [meta(0, 1, 2, 3), meta(1, 0, 2, 3), page(2, LEAF, 0, 0, &[])].concat()
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
    // So many pages that their bytes are none again.
    let endless = [meta(0, 9, 3, 1 << 52), database()[PAGE..].to_vec()].concat();
    assert!(
        zeroed(&endless).is_err(),
        "more pages than there are numbers"
    );
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
    // One that is too deep may hold anything.
    let below = |id: u64| {
        let branch: Vec<u8> = [0, id + 1]
            .iter()
            .flat_map(|it: &u64| it.to_le_bytes())
            .collect();
        page(id, BRANCH, 1, 0, &branch)
    };
    let mut deep: Vec<Vec<u8>> = (5..=5 + DEPTH_MAX as u64).map(below).collect();
    deep.push(leaf(6 + DEPTH_MAX as u64, &[]));
    assert!(has_containers_in(bucket(5, &[]), &deep));
}

//! What a job deleted is in no block that it stored, however small it was.

use std::collections::BTreeSet;
use std::sync::Arc;

use larder_model::limits::{BLOCK_BYTES, LEAF_BLOCKS, PAGE_BYTES};
use larder_store::{Source, closure};

use crate::kit::{Machine, Store};

/// Files of a page between files of a page, a block of extended attributes, and every other file gone.
const MIXED: &str = r#"
mkdir kept gone
for n in $(seq 1500); do
    echo "stays $n" > kept/$n
    echo "deleted-secret-Vc8 $n" > gone/$n
done
for n in $(seq 20); do
    touch kept/attribute$n
    setfattr -n user.a -v "$(printf 'deleted-secret-Vc8%.0s' $(seq 20))" kept/attribute$n
done
sync -f .
rm -r gone
setfattr -x user.a kept/attribute*
echo "deleted-secret-Vc8 at the end of a page" > cut; sync -f .; truncate -s 7 cut
"#;

/// Every block that a map names, with its number.
async fn stored(source: &Arc<Source>) -> Vec<(u64, Vec<u8>)> {
    let mut blocks = Vec::new();
    let leaves: Vec<u32> = source.root().leaves().map(|(index, _)| index).collect();
    for index in leaves {
        let leaf = source.leaf(index).await.unwrap().unwrap();
        for (at, _) in leaf.blocks() {
            let block = u64::from(index) * LEAF_BLOCKS as u64 + at as u64;
            let fetched = source.fetch(block).await.unwrap();
            let one = fetched.iter().find(|one| one.block == block).unwrap();
            blocks.push((block, one.content.to_vec()));
        }
    }
    blocks
}

fn holds(content: &[u8], text: &str) -> bool {
    content.windows(text.len()).any(|it| it == text.as_bytes())
}

/// The free pages that e2fsprogs finds on the volume's device: "  Free blocks: 1-7, 9".
fn free_by_dumpe2fs(machine: &Machine) -> BTreeSet<u64> {
    let script = r#"dumpe2fs "$(findmnt -no SOURCE --target .)" 2>/dev/null | sed -n 's/^  Free blocks: //p'"#;
    let mut free = BTreeSet::new();
    let printed = machine.shell(script).unwrap();
    for range in printed.split([',', '\n']).map(str::trim) {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        if let (Ok(first), Ok(last)) = (first.parse::<u64>(), last.parse()) {
            free.extend(first..=last);
        }
    }
    free
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_bytes_are_not_stored() {
    let store = Store::new();
    let first = Machine::open(store.source(None).await.unwrap());
    let first = first.await.unwrap();
    first.shell(MIXED).unwrap();
    let saved = first.save().await.unwrap();

    let source = store.source(Some(saved.map)).await.unwrap();
    let second = Machine::open(Arc::clone(&source)).await.unwrap();
    let free = free_by_dumpe2fs(&second);
    assert!(free.len() > 100_000, "{}", free.len());
    let blocks = stored(&source).await;
    let mut mixed = 0;
    for (block, content) in &blocks {
        assert!(!holds(content, "deleted-secret-Vc8"), "in block {block}");
        let pages = content.chunks(PAGE_BYTES).enumerate();
        let first_page = block * (BLOCK_BYTES / PAGE_BYTES) as u64;
        for (n, page) in pages.filter(|(n, _)| free.contains(&(first_page + *n as u64))) {
            mixed += 1;
            assert!(page.iter().all(|byte| *byte == 0), "page {n} of {block}");
        }
    }
    assert!(mixed > 500, "only {mixed} free pages in stored blocks");
    let kept = second
        .shell("cat kept/* | sort -u | wc -l; rm kept/7")
        .unwrap();
    assert_eq!(kept.trim(), "1500");

    // A block that holds a page of a file that is gone, and was stored already, stays as it is.
    let again = second.save().await.unwrap();
    assert!(again.new_blocks < 10, "one deleted file stored {again:?}");
    let third = Machine::open(store.source(Some(again.map)).await.unwrap());
    let third = third.await.unwrap();
    let kept = third.shell("cat kept/* | sort -u | wc -l").unwrap();
    assert_eq!(kept.trim(), "1499");
    third.save().await.unwrap();
}

/// The blocks of the volume that hold bitmaps of free pages, as e2fsprogs tells: "Block bitmap at 1030 (bg #0 + 1030)".
fn bitmaps(machine: &Machine) -> BTreeSet<u64> {
    let script = r#"dumpe2fs "$(findmnt -no SOURCE --target .)" 2>/dev/null | sed -n 's/.*Block bitmap at \([0-9]*\).*/\1/p'"#;
    let printed = machine.shell(script).unwrap();
    let pages = printed.lines().map(|page| page.parse::<u64>().unwrap());
    pages
        .map(|page| page * PAGE_BYTES as u64 / BLOCK_BYTES as u64)
        .collect()
}

/// A file over 160 groups of ext4, with something in each of them.
const LARGE: &str = "
echo small > small
fallocate -l 20G large
for n in $(seq 0 159); do
    dd if=/dev/urandom of=large bs=4k count=1 seek=$((n * 32768)) conv=notrunc status=none
done
";

#[tokio::test(flavor = "multi_thread")]
async fn a_trim_looks_only_where_something_was_freed() {
    const VOLUME_BYTES: u64 = 32 << 30;
    let store = Store::new();
    let empty = Source::empty(store.objects(), VOLUME_BYTES).unwrap();
    let first = Machine::open(Arc::new(empty)).await.unwrap();
    first.shell(LARGE).unwrap();
    let bitmaps = bitmaps(&first);
    let saved = first.save().await.unwrap();

    let source = store.source(Some(saved.map)).await.unwrap();
    let second = Machine::open(source).await.unwrap();
    second.shell("rm small").unwrap();
    let again = second.save().await.unwrap();
    let blocks = VOLUME_BYTES / BLOCK_BYTES as u64;
    let hot = closure::hot(&store.objects(), again.hot.unwrap(), blocks).await;
    let frames = hot.unwrap().frames;
    let read = frames.iter().flat_map(|frame| &frame.blocks);
    let read: BTreeSet<u64> = read.map(|(_, hot)| hot.block).collect();
    let read: Vec<&u64> = read.intersection(&bitmaps).collect();
    assert!(
        bitmaps.len() >= 10 && read.len() <= 3,
        "{read:?} of {bitmaps:?}"
    );
}

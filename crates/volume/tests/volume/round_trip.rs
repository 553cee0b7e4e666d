//! What is written on one machine is there on the next, and little more than it is stored.

use larder_model::address;
use larder_model::hot::HotList;
use larder_model::limits::HOT_LIST_MAX_BYTES;

use crate::kit::{Machine, Store, TREE};

const ODD_TREE: &str = r#"
mkdir -p "odd/ä b" odd/deep/er
printf 'x' > $'odd/new\nline'
printf 'y' > "odd/ä b/\"quoted\" 'name'"
head -c 30000000 /dev/urandom > odd/big
ln odd/big odd/hard
ln -s ../big odd/deep/soft
truncate -s 300M odd/sparse
printf 'end' >> odd/sparse
mknod odd/null c 1 3
mknod odd/loop b 7 200
mkfifo odd/pipe
chmod 4755 odd/big
chown 123:456 odd/deep
touch odd/attributes
setfattr -n user.larder -v yes odd/attributes
setfattr -n trusted.overlay.opaque -v y odd/deep
for i in $(seq 2000); do echo "file $i" > odd/deep/er/$i; done
"#;

#[tokio::test(flavor = "multi_thread")]
async fn an_odd_tree_survives_three_machines() {
    let store = Store::new();
    let first = Machine::open(store.source(None).await.unwrap())
        .await
        .unwrap();
    assert!(first.volume.opened().direct_io, "direct I/O is not in use");
    first.shell(ODD_TREE).unwrap();
    let tree = first.shell(TREE).unwrap();
    assert!(tree.contains("odd/hard"), "{tree}");
    let saved = first.save().await.unwrap();

    let second = Machine::open(store.source(Some(saved.map)).await.unwrap())
        .await
        .unwrap();
    assert_eq!(second.shell(TREE).unwrap(), tree);
    second
        .shell("rm odd/big odd/hard; echo changed > odd/deep/er/7")
        .unwrap();
    let changed = second.shell(TREE).unwrap();
    let again = second.save().await.unwrap();
    assert!(again.new_blocks < 40, "one small change stored {again:?}");
    assert!(again.used_change < -400, "30 MB were deleted: {again:?}");

    let third = Machine::open(store.source_after(&again).await)
        .await
        .unwrap();
    assert_eq!(third.shell(TREE).unwrap(), changed);
    let same = third.save().await.unwrap();
    assert!(same.new_blocks <= 4, "reading alone stored {same:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_read_is_fetched() {
    let store = Store::new();
    let first = Machine::open(store.source(None).await.unwrap())
        .await
        .unwrap();
    first
        .shell("head -c 200000000 /dev/urandom > big; echo small > small")
        .unwrap();
    let saved = first.save().await.unwrap();
    assert!(saved.stored_bytes > 200_000_000, "{saved:?}");

    let source = store.source(Some(saved.map)).await.unwrap();
    let second = Machine::open(source.clone()).await.unwrap();
    assert_eq!(
        second.shell("cat small; echo more >> small").unwrap(),
        "small\n"
    );
    let again = second.save().await.unwrap();
    let fetched = source.traffic();
    assert!(
        fetched.bytes < 8_000_000,
        "a small file fetched {fetched:?}"
    );
    assert!(again.stored_bytes < 1_000_000, "{again:?}");
    let third = store.source_after(&again).await;
    assert!(!third.hot().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_in_part_is_read_ahead_by_the_next_job() {
    let store = Store::new();
    let first = Machine::open(store.source(None).await.unwrap())
        .await
        .unwrap();
    first.shell("head -c 64M /dev/urandom > file").unwrap();
    let saved = first.save().await.unwrap();
    let second = Machine::open(store.source(Some(saved.map)).await.unwrap())
        .await
        .unwrap();
    // One page in each of 128 blocks, whose others the save fetches.
    let writes = "for at in $(seq 1 128 16384); do \
        dd if=/dev/urandom of=file bs=4096 seek=$at count=1 conv=notrunc status=none; done";
    second.shell(writes).unwrap();
    let saved = second.save().await.unwrap();
    let hot = address::hot(saved.hot.unwrap());
    let list = store.objects().get(&hot, HOT_LIST_MAX_BYTES).await.unwrap();
    let list = HotList::decode(&list, u64::MAX).unwrap();
    let listed: usize = list.frames.iter().map(|frame| frame.blocks.len()).sum();
    assert!(listed >= 128, "{listed} blocks are read ahead");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_written_over_in_part_keep_the_rest() {
    let store = Store::new();
    let first = Machine::open(store.source(None).await.unwrap())
        .await
        .unwrap();
    first.shell("seq 1 2000000 > numbers; sync -f .").unwrap();
    let saved = first.save().await.unwrap();

    let second = Machine::open(store.source(Some(saved.map)).await.unwrap())
        .await
        .unwrap();
    let patch = "for at in 5000 70000 655360 1234567; do printf XXXXX | dd of=numbers bs=1 seek=$at conv=notrunc status=none; done";
    second.shell(patch).unwrap();
    second
        .shell("fallocate --punch-hole -o 1000000 -l 100001 numbers")
        .unwrap();
    let expected = second.shell("sha256sum numbers").unwrap();
    let again = second.save().await.unwrap();

    let third = Machine::open(store.source(Some(again.map)).await.unwrap())
        .await
        .unwrap();
    assert_eq!(third.shell("sha256sum numbers").unwrap(), expected);
    let reference = format!(
        "seq 1 2000000 > ../r; cd ..; {}; fallocate --punch-hole -o 1000000 -l 100001 r; sha256sum < r",
        patch.replace("numbers", "r")
    );
    let plain = third.shell(&reference).unwrap();
    assert_eq!(plain.split(' ').next(), expected.split(' ').next());
    third.save().await.unwrap();
}

/// Whoever runs blocking work on the runtime later counts on being in the machine's namespaces.
#[tokio::test(flavor = "multi_thread")]
async fn serving_the_disk_leaves_no_thread_in_the_room() {
    let store = Store::new();
    let machine = Machine::open(store.source(None).await.unwrap())
        .await
        .unwrap();
    machine
        .shell("for i in $(seq 20); do echo $i > file; sync file; done")
        .unwrap();
    let own = std::fs::read_link("/proc/self/ns/mnt").unwrap();
    let gate = std::sync::Arc::new(std::sync::Barrier::new(8));
    let looks = (0..8).map(|_| {
        let gate = std::sync::Arc::clone(&gate);
        tokio::task::spawn_blocking(move || {
            // All of them at once, so that every idle thread takes part.
            gate.wait();
            std::fs::read_link("/proc/thread-self/ns/mnt").unwrap()
        })
    });
    for look in looks.collect::<Vec<_>>() {
        assert_eq!(look.await.unwrap(), own);
    }
    machine.save().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_stored_early_is_what_the_job_leaves() {
    let store = Store::new();
    let mut first = Machine::open(store.source(None).await.unwrap())
        .await
        .unwrap();
    first.volume.store_early();
    first
        .shell("for at in 1 2 3 4; do head -c 20000000 /dev/urandom > $at; done; sync -f .")
        .unwrap();
    let started = std::time::Instant::now();
    while store.files("packs").is_empty() {
        assert!(started.elapsed().as_secs() < 60, "nothing is stored early");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    first
        .shell("rm 1; for at in 5 70000 6553600 12345678; do printf XXXXX | dd of=2 bs=1 seek=$at conv=notrunc status=none; done; head -c 9000000 /dev/urandom > 5; echo end >> 3")
        .unwrap();
    let tree = first.shell(TREE).unwrap();
    let saved = first.save().await.unwrap();
    let second = Machine::open(store.source_after(&saved).await)
        .await
        .unwrap();
    assert_eq!(second.shell(TREE).unwrap(), tree);
    second.save().await.unwrap();
}

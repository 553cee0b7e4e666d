//! A volume stays below its bound, whatever jobs leave on it.

use crate::kit::{Store, context};
use crate::machine::{Job, Machine};

/// Of a volume of 1 GiB.
const KEEP: &str = "100MiB";

/// A machine, and a store that outlives it.
struct Line {
    store: Store,
    machine: Machine,
    image_store: &'static str,
}

impl Line {
    fn new(image_store: &'static str) -> Self {
        let machine = Machine::new();
        context(&machine.path("home"), "FROM scratch\n");
        Self {
            store: Store::new(),
            machine,
            image_store,
        }
    }

    fn job(&self, keep: &str, line: &str) -> Job {
        let image_store = ["--image-store", self.image_store];
        let options = [&["--size", "1GiB", "--keep", keep], &image_store[..]].concat();
        let job = self.machine.job(&self.store.url(), &options, line);
        self.machine.assert_untouched();
        job
    }
}

/// Makes an image with busybox and so many MiB, which compress well or not at all.
fn import(tag: &str, source: &str, megabytes: u32) -> String {
    format!(
        "cd $HOME/context && head -c {megabytes}M /dev/{source} > noise && tar -c busybox noise | docker import - {tag} && rm noise"
    )
}

fn dropped(job: &Job, what: &str) -> u64 {
    let number = job.report["dropped"][what].as_u64();
    number.expect("a number")
}

#[test]
fn a_volume_that_fills_up_is_emptied_and_never_fails_for_ever() {
    let line = Line::new("overlay2");
    let both = ["app:1", "app:2"].map(|tag| import(tag, "urandom", 60));
    let first = line.job(KEEP, &both.join("; ")).saved();
    assert_eq!(dropped(&first, "images"), 0, "{}", first.said);

    // While it runs: what it has not used goes.
    let fill = "docker run --rm --network none app:2 /busybox sh -c \
        'dd if=/dev/zero of=/fill bs=1M count=830; sleep 5'; docker image inspect app:2; ! docker image inspect app:1";
    let second = line.job(KEEP, fill).saved().restored(&first);
    for told in [
        "the volume filled up",
        "dropped 1 image ",
        "a larger --size",
    ] {
        assert!(second.said.contains(told), "{}", second.said);
    }

    // What it made itself stays.
    let third = line.job(KEEP, &import("large", "zero", 930)).saved();
    let third = third.restored(&second);
    assert!(third.said.contains("dropped 1 image ("), "{}", third.said);

    // Before it: it starts on a volume with room. What it fills to the brim is for nobody.
    let fourth = line.job(KEEP, &import("larger", "zero", 985));
    assert_eq!(fourth.code, 0, "{}", fourth.said);
    assert!(
        fourth.said.contains("the volume filled up"),
        "{}",
        fourth.said
    );
    let refused = fourth.said.contains("nothing saved: the volume is full");
    assert!(refused, "{}", fourth.said);
    assert!(fourth.restored(&third).report["saved"].is_null());
}

#[test]
fn images_of_the_containerd_store_go_with_all_that_they_hold() {
    let line = Line::new("containerd");
    let first = line.job(KEEP, &import("app:1", "urandom", 60)).saved();
    let second = line.job(KEEP, &import("app:2", "urandom", 60)).saved();
    let second = second.restored(&first);
    assert_eq!(dropped(&second, "images"), 1, "{}", second.said);
    let freed = dropped(&second, "freed_bytes");
    assert!(freed > 100 << 20, "{freed}: {}", second.said);
}

//! A store that cannot be relied on: the job works all the same, and so does the next one.

use std::fs;
use std::path::Path;

use crate::kit::{SMALL, Store, build, context, flip};
use crate::machine::Machine;

/// What can happen to an object.
const DAMAGES: [(&str, fn(&Path)); 3] = [
    ("flipped", flip),
    ("truncated", |path| {
        let bytes = fs::read(path).expect("read");
        fs::write(path, &bytes[..bytes.len() / 2]).expect("written");
    }),
    ("missing", |path| fs::remove_file(path).expect("removed")),
];

/// Damages every object of a kind after a job, in every way; runs two more jobs each time. `spared`
/// says whether the command of the first one must succeed.
fn damaged(kind: &str, spared: bool) {
    for (how, damage) in DAMAGES {
        let (store, machine) = (Store::new(), Machine::new());
        let context = context(machine.folder.path(), SMALL);
        let line = build(&context, "app") + " && docker run --rm app /bin/cat /one";
        let first = machine.job(&store.url(), &[], &line).saved();
        let objects = store.objects(kind);
        assert!(!objects.is_empty(), "no {kind}");
        objects.iter().for_each(|object| damage(object));
        let second = machine.job(&store.url(), &[], &line);
        let case = format!("{kind} {how}:\n{}", second.said);
        if spared {
            assert!(second.said.contains("warning"), "{case}");
            assert_eq!(second.code, 0, "{case}");
            assert!(second.report["restored"].is_null(), "{case}");
        }
        if second.code == 0 {
            assert!(second.said.contains("one\n"), "{case}");
        } else {
            assert!(second.said.contains("nothing saved"), "{case}");
        }
        machine.assert_untouched();
        let third = machine.job(&store.url(), &[], &line).saved();
        assert!(
            third.said.contains("one\n"),
            "{case}\nthen:\n{}",
            third.said
        );
        assert_ne!(
            third.report["restored"]["snapshot"], first.report["saved"]["snapshot"],
            "the damaged one again: {case}\nthen:\n{}",
            third.said
        );
    }
}

#[test]
fn snapshots() {
    // A snapshot that is gone is none: nothing to warn of, and covered by every first job.
    let (store, machine) = (Store::new(), Machine::new());
    let line = "echo x > $HOME/file; tar -C $HOME -c file | docker import - image";
    machine.job(&store.url(), &[], line).saved();
    for (how, damage) in &DAMAGES[..2] {
        let newest = store.objects("snapshots").pop().expect("a snapshot");
        damage(&newest);
        let job = machine.job(&store.url(), &[], line);
        assert!(job.said.contains("is left out"), "{how}: {}", job.said);
        job.saved();
    }
}

#[test]
fn maps() {
    damaged("maps", true);
}

#[test]
fn leaves() {
    damaged("leaves", true);
}

/// Damage in a pack is met when a block of it is read, which may be in the middle of the command.
#[test]
fn packs() {
    damaged("packs", false);
}

/// A hot list only makes things faster.
#[test]
fn hot_lists() {
    for (how, damage) in DAMAGES {
        let (store, machine) = (Store::new(), Machine::new());
        let context = context(machine.folder.path(), SMALL);
        let first = machine
            .job(&store.url(), &[], &build(&context, "app"))
            .saved();
        store.objects("hot").iter().for_each(|path| damage(path));
        let second = machine.job(&store.url(), &[], &build(&context, "app"));
        let second = second.saved().restored(&first);
        assert_eq!(second.cached(), 3, "{how}: {}", second.said);
    }
}

/// An older snapshot serves when the newest one is damaged.
#[test]
fn the_one_before_serves() {
    let (store, machine) = (Store::new(), Machine::new());
    let line = |name: &str| {
        format!("echo {name} > $HOME/{name}; tar -C $HOME -c {name} | docker import - {name}")
    };
    let first = machine.job(&store.url(), &[], &line("first")).saved();
    machine.job(&store.url(), &[], &line("second")).saved();
    flip(store.objects("snapshots").last().expect("two of them"));
    let third = machine.job(&store.url(), &[], "docker image inspect first");
    third.saved().restored(&first);
}

#[test]
fn a_store_that_cannot_be_written_still_restores() {
    let (store, machine) = (Store::new(), Machine::new());
    let context = context(machine.folder.path(), SMALL);
    let first = machine
        .job(&store.url(), &[], &build(&context, "app"))
        .saved();
    let path = store.path().display().to_string();
    machine.run("mount", &["--bind", &path, &path]);
    machine.run("mount", &["-o", "remount,bind,ro", &path]);
    let line = build(&context, "app") + " && docker tag app again";
    let second = machine.job(&store.url(), &[], &line).restored(&first);
    assert_eq!((second.code, second.cached()), (0, 3), "{}", second.said);
    let why = second.report["not_saved"]["because"]
        .as_str()
        .expect("a reason");
    assert!(why.contains("Read-only file system"), "{why}");
    machine.run("umount", &[&path]);
    machine.assert_untouched();
    machine
        .job(&store.url(), &[], &line)
        .saved()
        .restored(&first);
}

#[test]
fn a_store_that_went_away_is_made_anew() {
    let (store, machine) = (Store::new(), Machine::new());
    let line = "echo x > $HOME/file; tar -C $HOME -c file | docker import - image";
    machine.job(&store.url(), &[], line).saved();
    fs::remove_dir_all(store.path()).expect("removed");
    let second = machine.job(&store.url(), &[], line).saved().empty();
    machine
        .job(&store.url(), &[], line)
        .saved()
        .restored(&second);
}

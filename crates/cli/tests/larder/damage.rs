//! A store that cannot be relied on: the job works all the same, and so does the next one.

use std::fs;
use std::path::Path;

use crate::kit::{SMALL, Store, build, context, flip, text};
use crate::machine::{Job, Machine};

/// What can happen to an object.
const DAMAGES: [(&str, fn(&Path)); 3] = [
    ("flipped", flip),
    ("truncated", |path| {
        let bytes = fs::read(path).expect("read");
        fs::write(path, &bytes[..bytes.len() / 2]).expect("written");
    }),
    ("missing", |path| fs::remove_file(path).expect("removed")),
];

/// Damages every object of a kind after a job, in every way, each in a store of its own; runs two more jobs each
/// time. `spared` says whether the command of the first one must succeed.
fn damaged(kind: &str, spared: bool) {
    let (whole, machine) = (Store::new(), Machine::new());
    let context = context(machine.folder.path(), SMALL);
    let line = build(&context, "app") + " && docker run --rm app /bin/cat /one";
    let first = machine.job(&whole.url(), &[], &line).saved();
    for (how, damage) in DAMAGES {
        let store = whole.copy();
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

/// A build whose last step reads, through a pipe, what the restored volume has of the step before it. Of the store
/// all packs are gone by then.
struct Pipe {
    store: Store,
    machine: Machine,
    /// The command.
    line: String,
    first: Job,
}

impl Pipe {
    fn new() -> Self {
        let (store, machine) = (Store::new(), Machine::new());
        let noise = format!("{SMALL}COPY noise /noise\n");
        let context = context(machine.folder.path(), &noise);
        let make = format!("head -c 3000000 /dev/urandom > {}/noise", context.display());
        machine.run("sh", &["-c", &make]);
        let first = machine
            .job(&store.url(), &[], &build(&context, "app"))
            .saved();
        let file = context.join("Piped");
        let piped = "RUN [\"/bin/sh\", \"-c\", \"cat /noise | wc -c > /bytes\"]\n";
        fs::write(&file, noise + piped).expect("written");
        let line = format!(
            "rm -rf {}/v1/packs; {} -f {} && docker run --rm app /bin/cat /bytes",
            store.path().display(),
            build(&context, "app"),
            file.display()
        );
        Self {
            store,
            machine,
            line,
            first,
        }
    }
}

#[test]
fn a_pack_that_is_gone_in_a_build_makes_no_wrong_image() {
    let pipe = Pipe::new();
    let job = pipe.machine.job(&pipe.store.url(), &[], &pipe.line);
    assert_ne!(job.code, 0, "{}", job.said);
    let wrong = job.said.lines().any(|line| line == "0");
    assert!(!wrong, "a wrong image: {}", job.said);
    assert!(
        job.said.contains("the engine's disk failed") && job.said.contains("run it again"),
        "{}",
        job.said
    );
    assert_eq!(job.report["lost"]["damage"], true, "{}", job.said);
    pipe.machine.assert_untouched();
    // Marked: the next job starts from nothing, and is the newest.
    assert_eq!(pipe.store.objects("marks").len(), 1);
    let next = pipe.machine.job(&pipe.store.url(), &[], "true").saved();
    next.empty();
}

#[test]
fn a_build_that_lost_its_disk_is_run_again_on_an_empty_one() {
    let pipe = Pipe::new();
    let always = ["--retry-empty", "always"];
    let job = pipe
        .machine
        .job(&pipe.store.url(), &always, &pipe.line)
        .saved();
    assert!(
        job.said
            .contains("running the command again on an empty volume")
            && job.said.lines().any(|line| line == "3000000"),
        "{}",
        job.said
    );
    assert!(job.report["saved"]["parent"].is_null(), "{}", job.said);
    let next = pipe
        .machine
        .job(&pipe.store.url(), &[], "docker image inspect app");
    next.saved().restored(&job);
}

#[test]
fn a_down_after_a_lost_disk_cannot_be_overlooked() {
    let pipe = Pipe::new();
    let mut up = pipe.machine.larder_on("up", &pipe.store.url(), "private");
    let up = up.arg("--no-context").output().expect("larder starts");
    assert!(up.status.success(), "{}", text(&up));
    let step = format!(
        "export DOCKER_HOST=unix://$(ls /run/larder/*/docker.sock); {{ {}; }} && echo wrong || true",
        pipe.line
    );
    let said = pipe.machine.run("sh", &["-c", &step]);
    assert!(!said.contains("wrong"), "{said}");
    let down = pipe.machine.larder("down").output().expect("larder starts");
    assert_eq!(down.status.code(), Some(1), "{}", text(&down));
    assert!(
        text(&down).contains("the engine's disk failed"),
        "{}",
        text(&down)
    );
    pipe.machine.assert_untouched();
    assert!(pipe.first.report["saved"].is_object());
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

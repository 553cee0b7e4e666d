//! Interruptions and damage: nothing is published that is not whole, nothing is half loaded, and the
//! next build works.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use larder_docker::ImageStore;
use rustix::process::{Pid, Signal, kill_process};

use crate::application::Work;
use crate::engines::{Version, must};
use crate::kit::Site;
use crate::machine::DEADLINE;

const OVERLAY2: ImageStore = ImageStore::Overlay2;

/// A build whose layers take some time to save and to load.
fn large(work: &Work) {
    let noise = "FROM base:1 AS build\nRUN dd if=/dev/urandom of=/noise bs=1M count=60\n\
        FROM base:1\nCOPY --from=build /noise /noise\n";
    fs::write(work.context.join("Dockerfile"), noise).expect("written");
}

fn images(site: &Site<'_>) -> String {
    let mut images = site
        .engine
        .docker(&["images", "--all", "--quiet", "--no-trunc"]);
    must(&mut images)
}

#[test]
fn a_save_that_is_killed_publishes_nothing() {
    let work = Work::new();
    large(&work);
    let site = work.site("a", Version::Current, OVERLAY2);
    site.run(site.build_command(false, &["--no-save"], &[]))
        .done();
    let mut save = site.larder("save");
    let mut child = save.stderr(Stdio::null()).spawn().expect("larder starts");
    let started = Instant::now();
    while work.objects("packs").is_empty() {
        assert!(started.elapsed() < DEADLINE, "no pack is written");
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().expect("killed");
    child.wait().expect("it ends");
    assert!(work.objects("archives").is_empty());
    // The note of what was built is still there: the same save again, whole.
    site.run(site.larder("save")).done().says("saved ");
    assert_eq!(work.objects("archives").len(), 1);
}

/// Bytes that a process has written so far (proc(5), `/proc/pid/io`): of a restore, nearly all of them
/// go to the engine.
fn written(child: &Child) -> u64 {
    let io = fs::read_to_string(format!("/proc/{}/io", child.id())).unwrap_or_default();
    let written = io.lines().find_map(|line| line.strip_prefix("wchar: "));
    written.map_or(0, |bytes| bytes.parse().expect("a number"))
}

#[test]
fn a_restore_that_is_killed_breaks_nothing() {
    for store in [OVERLAY2, ImageStore::Containerd] {
        let work = Work::new();
        large(&work);
        let first = work.site("a", Version::Current, store);
        must(
            first
                .engine
                .docker(&["build", "--network=none", "-t", "app"])
                .env("DOCKER_BUILDKIT", "1")
                .arg(&work.context),
        );
        let mut save = first.larder("save");
        save.arg("app");
        first.run(save).done();

        let second = work.site("b", Version::Current, store);
        let before = images(&second);
        for bytes in [1 << 20, 16 << 20, 32 << 20] {
            let mut restore = second.larder("restore");
            let child = restore.stderr(Stdio::null()).spawn();
            let mut child = child.expect("larder starts");
            let started = Instant::now();
            while written(&child) < bytes {
                assert!(started.elapsed() < DEADLINE, "{bytes} bytes are not sent");
                assert_eq!(child.try_wait().expect("asked"), None, "{bytes} bytes");
                std::thread::sleep(Duration::from_millis(1));
            }
            child.kill().expect("killed");
            child.wait().expect("it ends");
            let after = images(&second);
            assert!(after == before || after.len() > before.len(), "{after}");
        }
        second
            .run(second.larder("restore"))
            .done()
            .says("restored ");
        assert!(!must(&mut second.engine.docker(&["images", "-q", "app"])).is_empty());
        second.build(true);
    }
}

#[test]
fn a_damaged_archive_is_a_miss_and_is_marked() {
    let work = Work::new();
    let first = work.site("a", Version::Current, OVERLAY2);
    first.build(true);
    for pack in work.objects("packs") {
        let mut bytes = fs::read(&pack).expect("read");
        // Wherever it is read: some of it the engine has already.
        bytes.iter_mut().step_by(512).for_each(|byte| *byte ^= 1);
        fs::write(&pack, bytes).expect("written");
    }
    let second = work.site("b", Version::Current, OVERLAY2);
    let before = images(&second);
    let mut strict = second.larder("restore");
    strict.arg("--strict");
    let said = second.run(strict);
    assert_eq!(said.code, 1, "{said:?}");
    assert_eq!(images(&second), before, "nothing is half loaded");
    assert_eq!(work.objects("marks").len(), 1, "{said:?}");
    // Marked: nobody tries it again, and the build is as without it.
    second
        .run(second.larder("restore"))
        .done()
        .says("no archive yet");
    let built = second.build(true);
    assert_eq!(built.cached(), 0);
    built.says("saved ");
    let third = work.site("c", Version::Current, OVERLAY2);
    assert_eq!(third.build(true).cached(), 10);
}

#[test]
fn a_store_that_cannot_be_written_or_read_is_a_warning() {
    let work = Work::new();
    let site = work.site("a", Version::Current, OVERLAY2);
    let file = work.machine.path("a-file");
    fs::write(&file, "").expect("written");
    let mut build = site.build_command(true, &[], &[]);
    build.env("LARDER_STORE", file.join("store"));
    let said = site.run(build).done();
    said.says("nothing restored:").says("nothing saved:");
    let mut strict = site.build_command(true, &["--strict"], &[]);
    strict.env("LARDER_STORE", file.join("store"));
    assert_eq!(site.run(strict).code, 1);
}

/// Files of 2 MB or more in a folder of an engine's.
fn large_files(site: &Site<'_>, folder: &Path) -> HashSet<PathBuf> {
    let folder = folder.to_owned();
    site.engine.room.run(move || {
        let entries = fs::read_dir(folder).expect("listed").flatten();
        let large = entries.filter(|entry| entry.metadata().is_ok_and(|it| it.len() >= 2_000_000));
        large.map(|entry| entry.path()).collect()
    })
}

/// Containerd's store sends before it has looked at all that it was asked for.
#[test]
fn an_image_that_lacks_a_layer_keeps_no_other_from_being_saved() {
    let work = Work::new();
    let site = work.site("a", Version::Current, ImageStore::Containerd);
    let content = "a/root/containerd/daemon/io.containerd.content.v1.content/blobs/sha256";
    let content = work.machine.path(content);
    let build = |name: &str| {
        let step = format!("FROM base:1\nRUN dd if=/dev/urandom of=/{name} bs=1M count=2\n");
        fs::write(work.context.join("Dockerfile"), step).expect("written");
        let mut build = site
            .engine
            .docker(&["build", "-q", "--network=none", "-t", name]);
        must(build.env("DOCKER_BUILDKIT", "1").arg(&work.context));
    };
    build("good");
    let before = large_files(&site, &content);
    build("bad");
    let after = large_files(&site, &content);
    let lost: Vec<PathBuf> = after.difference(&before).cloned().collect();
    assert_eq!(lost.len(), 1, "the layer");
    site.engine
        .room
        .run(move || fs::remove_file(&lost[0]).expect("removed"));

    let said = site.run(site.larder("save")).done();
    said.says("image bad:latest is not saved: ").says("saved ");
    let next = work.site("b", Version::Current, ImageStore::Containerd);
    let mut restore = next.larder("restore");
    restore.arg("--always");
    next.run(restore).done().says("restored ");
    let names = must(
        &mut next
            .engine
            .docker(&["images", "--format", "{{.Repository}}"]),
    );
    assert!(names.contains("good") && !names.contains("bad"), "{names}");
}

/// Whether a process with this in its command line runs.
fn runs(words: &str) -> bool {
    let all = fs::read_dir("/proc").expect("listed").flatten();
    let lines = all.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    let mut lines = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
    lines.any(|line| line.starts_with(words))
}

#[test]
fn a_signal_ends_the_build_and_its_steps() {
    let work = Work::new();
    let step = format!("sleep 77{}", std::process::id());
    let dockerfile = format!("FROM base:1\nRUN exec {step}\n");
    fs::write(work.context.join("Dockerfile"), dockerfile).expect("written");
    let site = work.site("a", Version::Current, OVERLAY2);
    let until = |wanted: bool| {
        let started = Instant::now();
        while runs(&step) != wanted {
            assert!(
                started.elapsed() < Duration::from_secs(30),
                "{step}: never {wanted}"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    let mut build = site.build_command(true, &[], &[]);
    build.stdout(Stdio::null()).stderr(Stdio::piped());
    let child = build.spawn().expect("larder starts");
    until(true);
    let pid = Pid::from_raw(child.id().cast_signed()).expect("a process");
    kill_process(pid, Signal::TERM).expect("it runs");
    let output = child.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("the build failed; nothing saved"), "{said}");
    until(false);
}

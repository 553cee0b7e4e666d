//! Each kind of engine and builder: as many steps from the cache on a fresh machine as on the one
//! that built first, over four machines.

use std::fs;
use std::process::Command;

use larder_docker::ImageStore;

use crate::application::Work;
use crate::engines::{Version, must};
use crate::kit::Site;

/// Steps of the classic builder that are not FROM; those that `BuildKit` runs.
const CLASSIC_STEPS: u64 = 14;
const BUILDKIT_STEPS: u64 = 10;

/// Fresh machines, as every job has one, and whether a source has changed there.
const FOUR: [(&str, bool); 4] = [("b", false), ("c", true), ("d", true), ("e", false)];

fn four_machines(version: Version, store: ImageStore, buildkit: bool, strategy: &str) {
    machines(version, store, (buildkit, strategy), &FOUR);
}

fn machines(
    version: Version,
    store: ImageStore,
    (buildkit, strategy): (bool, &str),
    others: &[(&str, bool)],
) {
    let all = if buildkit {
        BUILDKIT_STEPS
    } else {
        CLASSIC_STEPS
    };
    let work = Work::new();
    let first = work.site("a", version, store);
    let built = first.build(buildkit);
    assert_eq!(built.report["strategy"], strategy, "{built:?}");
    assert_eq!(built.cached(), 0);
    built.says("no archive yet").says("saved ");
    // What this machine finds by itself.
    assert_eq!(first.build(buildkit).cached(), all);

    // What a job saves that found all or some of its steps is as good as what the first one saved.
    for (name, changed) in others {
        let mut expected = all;
        if *changed {
            work.change_source(name);
            // What the machine that saved finds by itself; the others must not get it from there.
            let alone = first.build_command(buildkit, &["--no-restore", "--no-save"], &[]);
            expected = first.run(alone).done().cached();
            assert!(0 < expected && expected < all);
        }
        let fresh = work.site(name, version, store);
        let built = fresh.build(buildkit);
        built.says("restored ");
        assert_eq!(built.cached(), expected, "{name}: {built:?}");
    }
}

#[test]
fn the_older_classic_builder() {
    four_machines(Version::Older, ImageStore::Overlay2, false, "parents");
}

#[test]
fn the_classic_builder() {
    four_machines(
        Version::Current,
        ImageStore::Overlay2,
        false,
        "stage-images",
    );
}

#[test]
fn the_older_buildkit() {
    four_machines(Version::Older, ImageStore::Overlay2, true, "inline-cache");
}

#[test]
fn buildkit_on_overlay2() {
    four_machines(Version::Current, ImageStore::Overlay2, true, "inline-cache");
}

/// One that takes records of several sources for one another.
#[test]
fn a_newer_buildkit_on_overlay2() {
    if Version::newer().is_none() {
        println!("skipped: `cargo xtask engine` could not unpack the newer engine");
        return;
    }
    let how = (true, "inline-cache");
    machines(Version::Newer, ImageStore::Overlay2, how, &FOUR[1..3]);
}

#[test]
fn buildkit_on_containerds_store() {
    four_machines(
        Version::Current,
        ImageStore::Containerd,
        true,
        "cache-folder",
    );
}

/// And in the steps of a job of its own, as the README has them: the folder of the cache is chosen, the options
/// are all that the build is given, and the save knows.
fn three_lines(version: Version) {
    let work = Work::new();
    for (name, cached) in [("a", 0), ("b", BUILDKIT_STEPS)] {
        let site = work.site(name, version, ImageStore::Containerd);
        let mut restore = site.larder("restore");
        restore
            .env("DOCKER_BUILDKIT", "1")
            .args(["--always", "--flags"]);
        let flags = site.run(restore).done().out;
        assert_eq!(
            flags.contains("--cache-from=type=local"),
            cached > 0,
            "{flags}"
        );
        let mut build = site
            .engine
            .docker(&["build", "--network=none", "-t", "app"]);
        build.args(flags.split_whitespace()).arg(&work.context);
        let said = must(build.env("DOCKER_BUILDKIT", "1"));
        let found = said
            .lines()
            .filter(|line| line.ends_with(" CACHED"))
            .count();
        assert_eq!(found as u64, cached, "{said}");
        let saved = site.run(site.larder("save")).done();
        assert_eq!(saved.error.contains("saved shop"), cached == 0, "{saved:?}");
        assert_eq!(work.objects("archives").len(), 1);
        let left = fs::read_dir(work.machine.path(&format!("{name}.state/archives")));
        let left: Vec<_> = left.into_iter().flatten().flatten().collect();
        assert!(left.is_empty(), "{left:?}");
        if cached > 0 {
            // A save that comes later, for example after the push.
            work.change_source("later");
            site.run(site.build_command(true, &["--no-save"], &[]))
                .done();
            site.run(site.larder("save")).done().says("saved shop");
            refused(&site);
        }
    }
}

/// A machine that has no dockerd, but an engine by `DOCKER_HOST`.
fn refused(site: &Site<'_>) {
    let larder = site.larder("run");
    let mut command = Command::new("unshare");
    for (name, value) in larder.get_envs() {
        command.env(name, value.expect("it is set"));
    }
    let hide = "mount --bind /dev/null /usr/sbin/dockerd; exec \"$@\"";
    command.args(["--mount", "sh", "-c", hide, "sh"]);
    command
        .arg(larder.get_program())
        .args(["run", "--", "true"]);
    let said = site.run(command);
    assert_eq!(said.code, 3, "{said:?}");
    said.says("dockerd")
        .says("; `larder build` works with the engine at unix://");
}

#[test]
fn three_lines_on_containerds_store() {
    three_lines(Version::Current);
}

#[test]
fn three_lines_on_a_newer_engine() {
    if Version::newer().is_none() {
        println!("skipped: `cargo xtask engine` could not unpack the newer engine");
        return;
    }
    three_lines(Version::Newer);
}

#[test]
fn the_classic_builder_on_containerds_store_builds_without_a_cache() {
    let work = Work::new();
    let site = work.site("a", Version::Current, ImageStore::Containerd);
    let said = site.run(site.build_command(false, &[], &[])).done();
    said.says("building without a cache: the classic builder cannot use restored images")
        .says("DOCKER_BUILDKIT=1");
    assert!(said.out.contains("Successfully tagged app"), "{said:?}");
    assert_eq!(work.objects("archives").len(), 0);
    let strict = site.run(site.build_command(false, &["--strict"], &[]));
    assert_eq!(strict.code, 1, "{strict:?}");
    let mut doctor = site.larder("doctor");
    doctor.env("DOCKER_BUILDKIT", "0").arg("--json");
    let said = site.run(doctor).done();
    let found: serde_json::Value = serde_json::from_str(&said.out).expect("JSON");
    let why = found["build"]["missing"].as_str().expect("why not");
    assert!(why.contains("failed to read diff archive"), "{why}");
}

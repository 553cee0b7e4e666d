//! Base images that move: the engine that remembers forgets them, and only them.

use std::fs;
use std::path::{Path, PathBuf};

use crate::builds::serve_registry;
use crate::kit::{Store, build, context, text};
use crate::machine::{ADDRESS, Machine};

/// A base image that can run something and says which one it is.
fn base(value: &str) -> String {
    format!(
        "FROM scratch\nCOPY busybox /bin/busybox\nENV V={value}\n\
         RUN [\"/bin/busybox\", \"sh\", \"-c\", \"/bin/busybox --install -s /bin; echo $V > /v\"]\n"
    )
}

/// Builds the base image on an engine of its own and pushes it.
fn push(machine: &Machine, value: &str) {
    let store = Store::new();
    let folder = tempfile::tempdir().expect("a folder");
    let context = context(folder.path(), &base(value));
    let tag = format!("{ADDRESS}:5000/base:1");
    let line = format!("{} && docker push {tag}", build(&context, &tag));
    machine
        .job(&store.url(), &["--scope", value], &line)
        .saved();
}

fn application(folder: &Path) -> PathBuf {
    let path = folder.join("Dockerfile");
    let text =
        format!("FROM {ADDRESS}:5000/base:1\nRUN [\"/bin/sh\", \"-c\", \"echo built on $V\"]\n");
    fs::write(&path, text).expect("written");
    path
}

fn a_moved_base_is_fetched_anew(image_store: &str) {
    let (store, registry, folder) = (Store::new(), Store::new(), Store::new());
    let machine = Machine::new();
    serve_registry(&machine, registry.path());
    let dockerfile = application(folder.path());
    let plan = dockerfile.to_str().expect("text");
    let options = ["--image-store", image_store, "--plan", plan];
    // With the tag in the engine, BuildKit on overlay2 does not ask the registry.
    let pull = format!("docker pull {ADDRESS}:5000/base:1");
    let line = build(folder.path(), "app");
    let first_line = format!("{pull} && {line}");
    push(&machine, "one");
    let first = machine.job(&store.url(), &options, &first_line).saved();
    assert!(first.said.contains("built on one"), "{}", first.said);
    let same = machine.job(&store.url(), &options, &line);
    assert_eq!((same.code, same.cached()), (0, 1), "{}", same.said);
    assert_eq!(same.report["moved"].as_array().map(Vec::len), Some(0));

    push(&machine, "two");
    let mut explain = machine.larder("explain");
    explain.args(["--store", &store.url(), "--project", "shop", "-f", plan]);
    explain.env("LARDER_IMAGE_STORE", image_store);
    let explained = text(&explain.output().expect("larder starts"));
    assert!(explained.contains("base:1 (linux/"), "{explained}");
    assert!(explained.contains("rebuilt from line 1"), "{explained}");
    let never = [&options[..], &["--fresh", "never"]].concat();
    let never = machine.job(&store.url(), &never, "true");
    assert_eq!(never.report["moved"].as_array().map(Vec::len), Some(0));
    let moved = machine.job(&store.url(), &options, &line).saved();
    assert!(moved.said.contains("built on two"), "{}", moved.said);
    assert_eq!(
        moved.report["moved"][0]["tag"],
        format!("{ADDRESS}:5000/base:1")
    );
    assert!(moved.said.contains("base:1 moved: "), "{}", moved.said);

    // A registry that does not answer: the engine's own copy serves.
    machine.kill(machine.find("docker-registry").expect("it runs"));
    let alone = machine.job(
        &store.url(),
        &options,
        "docker image inspect app >/dev/null",
    );
    assert_eq!(alone.code, 0, "{}", alone.said);
    assert!(alone.said.contains("its own copies"), "{}", alone.said);
    assert_eq!(alone.report["moved"].as_array().map(Vec::len), Some(0));
}

#[test]
fn a_moved_base_is_fetched_anew_on_overlay2() {
    a_moved_base_is_fetched_anew("overlay2");
}

#[test]
fn a_moved_base_is_fetched_anew_on_containerd() {
    a_moved_base_is_fetched_anew("containerd");
}

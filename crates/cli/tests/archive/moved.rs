//! A base image that moves between two jobs: the stages on it are left out of the restore, the
//! others are not.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use larder_docker::ImageStore;
use serde_json::Value;

use crate::application::{BASE, Work, build_base};
use crate::distribution::Distribution;
use crate::engines::{Version, must};
use crate::kit::Site;

/// Pushes the one image of a `docker save` tar: its blobs, and its manifest under a tag.
fn push(registry: &Distribution, tar: &Path, repository: &str, tag: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    must(
        Command::new("tar")
            .arg("-xf")
            .arg(tar)
            .arg("-C")
            .arg(folder.path()),
    );
    let read = |path: &str| fs::read(folder.path().join(path)).expect("it is there");
    let blob = |digest: &str| read(&format!("blobs/{}", digest.replace(':', "/")));
    let index: Value = serde_json::from_slice(&read("index.json")).expect("JSON");
    let descriptor = &index["manifests"][0];
    let manifest = blob(descriptor["digest"].as_str().expect("a digest"));
    let parsed: Value = serde_json::from_slice(&manifest).expect("JSON");
    let layers = parsed["layers"].as_array().expect("layers").iter();
    for part in layers.chain([&parsed["config"]]) {
        let digest = part["digest"].as_str().expect("a digest");
        let begun = ask(
            registry,
            "POST",
            &format!("/v2/{repository}/blobs/uploads/"),
            "",
            b"",
        );
        let place = begun
            .lines()
            .find_map(|line| line.strip_prefix("Location: "));
        let place = place
            .expect("a place")
            .trim()
            .split_once("/v2/")
            .expect("a path")
            .1;
        let place = format!("/v2/{place}&digest={digest}");
        let put = ask(
            registry,
            "PUT",
            &place,
            "application/octet-stream",
            &blob(digest),
        );
        assert!(put.starts_with("HTTP/1.1 201"), "{put}");
    }
    let kind = parsed["mediaType"].as_str().expect("a type");
    let path = format!("/v2/{repository}/manifests/{tag}");
    let put = ask(registry, "PUT", &path, kind, &manifest);
    assert!(put.starts_with("HTTP/1.1 201"), "{put}");
}

fn ask(registry: &Distribution, method: &str, path: &str, kind: &str, body: &[u8]) -> String {
    let mut stream = TcpStream::connect(&registry.host).expect("it listens");
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        registry.host,
        body.len()
    );
    stream.write_all(head.as_bytes()).expect("sent");
    stream.write_all(body).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answered");
    answer
}

fn build(site: &Site<'_>) -> crate::kit::Said {
    let mut command = site.build_command(false, &["--always"], &[]);
    command.env("LARDER_FRESH", "always");
    site.run(command).done()
}

#[test]
fn only_stages_on_a_moved_base_are_left_out() {
    let work = Work::new();
    let registry = Distribution::start(|_, _| {});
    let moving = format!("{}/moving:1", registry.host);
    let still = format!("{}/still:1", registry.host);
    let tar = |name: &str| work.machine.path(name);
    build_base(&work.machine, BASE, &moving, &tar("moving.tar"));
    let other = format!("{BASE}RUN echo 2 > /release\n");
    let more = format!("{BASE}LABEL still=1\nRUN echo still > /still\n");
    build_base(&work.machine, &more, &still, &tar("still.tar"));
    push(&registry, &tar("moving.tar"), "moving", "1");
    push(&registry, &tar("still.tar"), "still", "1");
    let dockerfile = format!(
        "FROM {still} AS assets\nRUN echo css > /css\nRUN echo js > /js\n\
         FROM {moving}\nRUN echo runtime > /runtime\nCOPY --from=assets /css /js /\n"
    );
    fs::write(work.context.join("Dockerfile"), dockerfile).expect("written");
    let site = |name: &str, bases: [&str; 2]| {
        let site = work.site(name, Version::Current, ImageStore::Overlay2);
        for base in bases {
            must(site.engine.docker(&["load", "-qi"]).arg(tar(base)));
        }
        site
    };
    let first = site("a", ["moving.tar", "still.tar"]);
    assert_eq!(build(&first).cached(), 0);
    let second = site("b", ["moving.tar", "still.tar"]);
    assert_eq!(build(&second).cached(), 4, "nothing moved");

    build_base(&work.machine, &other, &moving, &tar("moved.tar"));
    push(&registry, &tar("moved.tar"), "moving", "1");
    let third = site("c", ["moved.tar", "still.tar"]);
    let built = build(&third);
    built
        .says("is left out: its base image ")
        .says("/moving:1 has moved");
    assert_eq!(built.report["restored"]["images"], 1);
    assert_eq!(built.cached(), 2, "the stage on the other base: {built:?}");
    // And what was built on the new base is there for the next machine.
    let fourth = site("d", ["moved.tar", "still.tar"]);
    assert_eq!(build(&fourth).cached(), 4);
}

//! The verbs against Debian's docker-registry.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::distribution::Distribution;
use crate::kit::{Project, Registry, Said};

const OLD: &str = "2026-01-01T00:00:00Z";
const NEW: &str = "2026-02-02T00:00:00Z";

fn project(registry: &Registry) -> Project {
    let text = format!("FROM {}/app:1\nRUN true\n", registry.host);
    Project::new(&[("Dockerfile", &text)])
}

#[test]
fn a_plan_holds_what_the_images_are() {
    let registry = Registry::start();
    registry.push("1", "A=1", OLD);
    let project = project(&registry);
    let plan = project.plan(&[]);
    let image = &plan["images"][0];
    assert_eq!(image["identity"].as_str().map(str::len), Some(64));
    assert_eq!(image["created"], OLD);
    let digest = image["digests"]["manifest"].as_str().expect("a digest");
    let reference = format!("{}/app:1", registry.host);
    assert_eq!(
        project
            .run(&["image", "--digest", &reference])
            .done()
            .trim(),
        digest
    );
    let said = project.run(&["image", "--json", &reference]).done();
    let said: Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!(said["images"][0]["identity"], image["identity"]);
    assert_eq!(said["images"][0]["manifest"], digest);
    assert!(project.run(&["image", &reference]).done().contains(digest));
}

/// The names of all fields of a document, but those within `inherited` and what users name.
fn fields(value: &Value, names: &mut Vec<String>) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                names.push(name.clone());
                if !["inherited", "extras", "build_args"].contains(&name.as_str()) {
                    fields(value, names);
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| fields(value, names)),
        _ => {}
    }
}

#[test]
fn what_is_printed_as_json_is_described() {
    let text = include_str!("../../../../docs/JSON.md");
    let registry = Registry::start();
    registry.push("1", "A=1", OLD);
    let project = project(&registry);
    let image = format!("{}/app:1", registry.host);
    let mut names = Vec::new();
    for arguments in [
        &["plan", "--json", "--extra", "Dockerfile"][..],
        &["explain", "--json"],
        &["image", "--json", &image],
    ] {
        let said = project.run(arguments).done();
        fields(&serde_json::from_str(&said).expect("JSON"), &mut names);
    }
    let refused = project.run(&["plan", "--json", "nowhere"]).out;
    fields(&serde_json::from_str(&refused).expect("JSON"), &mut names);
    let words: Vec<&str> = text
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .collect();
    names.retain(|name| !words.contains(&name.as_str()));
    assert!(names.is_empty(), "docs/JSON.md does not have {names:?}");
}

#[test]
fn a_moved_base_changes_the_key_and_a_rebuilt_one_does_not() {
    let registry = Registry::start();
    registry.push("1", "A=1", OLD);
    let project = project(&registry);
    let key = || project.run(&["key"]).done();
    let first = key();
    registry.push("1", "A=1", NEW);
    assert_eq!(key(), first, "the same layers and settings, made again");
    registry.push("1", "A=2", NEW);
    assert_ne!(key(), first);
}

#[test]
fn what_was_learnt_serves_offline_while_it_is_young() {
    let registry = Registry::start();
    registry.push("1", "A=1", OLD);
    let project = project(&registry);
    let since = |plan: &Value| plan["images"][0]["since_ms"].as_u64().expect("a time");
    let first = project.plan(&[]);
    let again = project.plan(&[]);
    assert_eq!(since(&first), since(&again));
    drop(registry);
    let young = project.plan(&["--offline", "--max-age", "1h"]);
    assert_eq!(
        young["images"][0]["identity"],
        first["images"][0]["identity"]
    );
    for arguments in [&["--offline"][..], &["--offline", "--max-age", "0s"]] {
        let plan = project.plan(arguments);
        assert_eq!(plan["images"][0]["identity"], Value::Null, "{arguments:?}");
    }
    let unreachable = project.plan(&[]);
    assert_eq!(unreachable["images"][0]["identity"], Value::Null);
    assert!(unreachable["images"][0]["error"].is_string());
}

#[test]
fn an_image_that_is_not_there_fails_and_the_others_are_shown() {
    let registry = Registry::start();
    registry.push("1", "A=1", OLD);
    let project = project(&registry);
    let (good, bad) = (
        format!("{}/app:1", registry.host),
        format!("{}/app:2", registry.host),
    );
    let said = project.run(&["image", &good, &bad]);
    assert_eq!(said.code, 1);
    assert!(
        said.out.contains(&good) && said.error.contains(&bad),
        "{}",
        said.error
    );
    assert_eq!(project.run(&["image", "Not/Valid"]).code, 2);
}

#[test]
fn a_mirror_is_asked_first() {
    let registry = Registry::start();
    registry.push("1", "A=1", OLD);
    let project = Project::new(&[("Dockerfile", "FROM registry.invalid/app:1\n")]);
    let mirror = format!("registry.invalid=http://{}", registry.host);
    let by_option = project.plan(&["--registry-mirror", &mirror]);
    assert!(by_option["images"][0]["identity"].is_string());
    let file = format!(
        "[registry-mirrors]\n\"registry.invalid\" = [\"http://{}\"]\n",
        registry.host
    );
    project.write("larder.toml", &file);
    let by_file = project.plan(&["--config", "larder.toml"]);
    assert_eq!(
        by_file["images"][0]["identity"],
        by_option["images"][0]["identity"]
    );
    // A file that nobody named is a commit's.
    let said = project.run(&["plan", "--offline"]);
    assert!(said.error.contains("registry-mirrors;"), "{}", said.error);
}

#[test]
fn a_configuration_of_docker_that_cannot_be_read_is_a_warning() {
    let registry = Registry::start();
    registry.push("1", "A=1", OLD);
    let project = project(&registry);
    let key = project.run(&["key"]).done();
    project.write("docker/config.json", "{ \"auths\": ");
    let mut command = project.command();
    command.env("DOCKER_CONFIG", project.path().join("docker"));
    command.env("DOCKER_AUTH_CONFIG", "s3cret").arg("key");
    let said = Said::of(&command.output().expect("larder starts"));
    for word in [
        "docker/config.json",
        "DOCKER_AUTH_CONFIG",
        "credentials are not used",
    ] {
        assert!(said.error.contains(word), "{word}: {}", said.error);
    }
    assert!(!said.error.contains("s3cret"), "{}", said.error);
    assert_eq!(said.done(), key);
}

/// One that `ann` alone may use, by her password `s3cret`.
fn for_ann_alone() -> Distribution {
    Distribution::start(|folder, config| {
        let path = folder.join("htpasswd");
        // By `htpasswd -B`.
        let line = "ann:$2b$05$abcdefghijklmnopqrstuuLK7U1u6pVRmL7L1BBM2aS35PSZnDXlK\n";
        fs::write(&path, line).expect("written");
        config["auth"] = json!({ "htpasswd": { "realm": "test", "path": path } });
    })
}

#[test]
fn credentials_come_from_the_environment_too() {
    let registry = for_ann_alone();
    let project = Project::new(&[]);
    let ask = |password: &str| {
        let auths = json!({ &registry.host: { "username": "ann", "password": password } });
        let mut command = project.command();
        command.env("DOCKER_AUTH_CONFIG", json!({ "auths": auths }).to_string());
        command.args(["image", &format!("{}/app:1", registry.host)]);
        Said::of(&command.output().expect("larder starts")).error
    };
    let (wrong, right) = (ask("wrong"), ask("s3cret"));
    assert!(wrong.contains("denies access"), "{wrong}");
    assert!(right.contains("does not exist at"), "{right}");
}

#[test]
fn who_has_logged_in_with_podman_is_known() {
    let registry = for_ann_alone();
    let project = Project::new(&[]);
    let file = project.path().join("auth.json");
    let ask = || {
        let mut command = project.command();
        command.env("REGISTRY_AUTH_FILE", &file);
        command.args(["image", &format!("{}/app:1", registry.host)]);
        Said::of(&command.output().expect("larder starts")).error
    };
    let before = ask();
    assert!(before.contains("denies access"), "{before}");
    let mut login = Command::new("podman");
    login.args(["login", "--tls-verify=false", "--username", "ann"]);
    login
        .args(["--password", "s3cret", "--authfile"])
        .arg(&file);
    let said = login.arg(&registry.host).output().expect("podman starts");
    assert!(said.status.success(), "{said:?}");
    let after = ask();
    assert!(after.contains("does not exist at"), "{after}");
}

//! Tools that are not there, that refuse, that answer oddly; and what they are not told.

use std::fs;

use larder_builds::{Build, Fault};
use larder_local::people::Blame;

use crate::kit::{Project, allow, of};

/// A project whose docker command is this script.
fn with_docker(script: &str) -> Project {
    let mut project = Project::new(&[
        ("compose.yaml", "services: { web: { build: . } }\n"),
        ("docker-bake.hcl", "target \"default\" {}\n"),
        ("Dockerfile", "FROM a\n"),
    ]);
    project.write("bin/docker", &format!("#!/bin/sh\n{script}\n"));
    allow(&project, "bin/docker");
    let path = format!("{}:/usr/bin:/bin", project.path().join("bin").display());
    project.set("PATH", &path);
    project
}

fn fault(project: &Project, build: &Build) -> Fault {
    project.drafts(build).expect_err("a fault")
}

#[test]
fn a_tool_that_is_missing_is_named_with_its_package() {
    let project = with_docker("echo \"docker: '$1' is not a docker command.\" >&2; exit 1");
    for (file, words) in [
        (
            "compose.yaml",
            [
                "`docker compose`",
                "docker-compose-plugin",
                "docker compose config",
            ],
        ),
        (
            "docker-bake.hcl",
            ["`docker buildx`", "docker-buildx-plugin", "bake --print"],
        ),
    ] {
        let fault = fault(&project, &of(&[file]));
        assert_eq!(fault.blame, Blame::Machine);
        for word in words {
            assert!(fault.message.contains(word), "{word}: {fault}");
        }
    }
    // A Dockerfile needs no tool.
    assert!(project.drafts(&Build::default()).is_ok());
}

#[test]
fn a_tool_that_refuses_is_quoted_with_the_place() {
    let project = Project::new(&[
        (
            "bad.hcl",
            "target \"default\" {\n  args = {\n    V = md6(\"x\")\n  }\n}\n",
        ),
        ("bad.yaml", "services:\n  web: { build: ., nonsense: 1 }\n"),
        ("none.hcl", "target \"a\" {}\n"),
    ]);
    let fault_of = |name: &str| fault(&project, &of(&[name]));
    let bad = fault_of("bad.hcl");
    assert_eq!(bad.blame, Blame::Input);
    assert_eq!(
        (bad.file.as_deref(), bad.line, bad.column),
        (Some("bad.hcl"), Some(3), Some(9))
    );
    assert!(bad.message.contains("md6"), "{bad}");
    let bad = fault_of("bad.yaml");
    assert_eq!(bad.file.as_deref(), Some("bad.yaml"));
    assert!(bad.message.starts_with("`docker compose` says: "), "{bad}");
    assert!(bad.message.contains("nonsense"), "{bad}");
    assert!(fault_of("none.hcl").message.contains("default"));
    assert!(fault_of("gone.yaml").to_string().contains("gone.yaml"));
}

#[test]
fn an_answer_that_is_none_is_a_fault() {
    let project = with_docker("echo '[1'");
    let odd = fault(&project, &of(&["compose.yaml"]));
    assert!(odd.message.contains("not understood"), "{odd}");
    let project = with_docker("[ $2 = version ] && exit; printf 'a\\033[31m\\007b\\n' >&2; exit 1");
    let refused = fault(&project, &of(&["docker-bake.hcl"]));
    assert!(refused.message.ends_with("a[31mb"), "{refused}");
    let project = with_docker("yes");
    let long = fault(&project, &of(&["docker-bake.hcl"]));
    assert!(long.message.contains("more than"), "{long}");
}

#[test]
fn tools_see_no_credential_and_no_input() {
    let mut project = with_docker(
        "env > \"$HOME/seen\"; cat; PATH=/usr/local/bin:/usr/bin:/bin exec docker \"$@\"",
    );
    let home = project.path().join("home");
    fs::create_dir(&home).expect("a folder");
    project.set("HOME", home.to_str().expect("text"));
    project.set("LARDER_STORE", "s3://key:secret@x");
    project.set("AWS_SECRET_ACCESS_KEY", "topsecret");
    project.set("AWS_REGION", "eu-west-1");
    project.set("DOCKER_AUTH_CONFIG", "{}");
    // A file that demands the variable is still read.
    let text = "services:\n  web: { build: ., environment: { K: \"${AWS_SECRET_ACCESS_KEY:?it is needed}\" } }\n";
    project.write("compose.yaml", text);
    let mut around = project.around();
    around.withheld = vec!["AWS_SECRET_ACCESS_KEY".to_owned()];
    let drafts = of(&["compose.yaml"]).drafts(&around).expect("a draft");
    assert_eq!(drafts.len(), 1);
    let seen = fs::read_to_string(home.join("seen")).expect("it was run");
    assert!(seen.contains("AWS_REGION=eu-west-1") && seen.contains("DOCKER_AUTH_CONFIG={}"));
    assert!(
        !seen.contains("secret@") && !seen.contains("topsecret"),
        "{seen}"
    );
}

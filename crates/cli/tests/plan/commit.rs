//! What a commit brings to a checkout: links, and settings.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use crate::kit::{Project, Said};

/// A checkout with a file beside it that is none of its author's business.
fn checkout(files: &[(&str, &str)]) -> Project {
    let project = Project::new(files);
    fs::create_dir(project.path().join(".git")).expect("a folder");
    fs::write(project.path().join("../secret"), "root:topsecret\n").expect("written");
    project
}

/// The exit code is 2 and the secret stays one.
#[track_caller]
fn refused(said: &Said, words: &[&str]) {
    let all = format!("{}{}", said.out, said.error);
    assert_eq!(said.code, 2, "{all}");
    assert!(!all.contains("topsecret"), "{all}");
    assert!(words.iter().all(|word| all.contains(word)), "{all}");
}

#[test]
fn no_line_of_a_file_outside_of_the_checkout_is_printed() {
    let project = checkout(&[("web/x", ""), ("real", "FORM a\n")]);
    let link = |to: &str, name: &str| symlink(to, project.path().join(name)).expect("linked");
    link("../secret", "Dockerfile");
    link("../../secret", "web/Dockerfile");
    link("real", "within");
    link("../secret", "larder.toml");
    for arguments in [
        &["plan"][..],
        &["plan", "--json"],
        &["explain"],
        &["plan", "web"],
    ] {
        refused(&project.run(arguments), &["larder.toml"]);
    }
    fs::remove_file(project.path().join("larder.toml")).expect("removed");
    for arguments in [
        &["plan"][..],
        &["plan", "--json"],
        &["explain"],
        &["plan", "web"],
    ] {
        refused(
            &project.run(arguments),
            &["Dockerfile", "outside of the checkout"],
        );
    }
    refused(&project.run(&["key", "-f", "../secret"]), &["../secret"]);
    // What is wrong with a file of the checkout is told as before, also where a link in it leads there.
    refused(&project.run(&["plan", "-f", "within"]), &["line 1", "FORM"]);
}

#[test]
fn a_tool_s_words_about_a_file_outside_of_the_checkout_are_not_printed() {
    // As compose-go `dotenv/godotenv.go` says it.
    let quotes = "#!/bin/sh\n[ \"$2\" = version ] && exit\n\
                  echo \"failed to read $PWD/$FILE: line 1: unexpected character in variable name \\\"$(cat $FILE)\\\"\" >&2\n\
                  exit 1\n";
    let project = checkout(&[
        ("compose.yaml", "services: {}\n"),
        ("bin/docker", quotes),
        ("own", "mistake\n"),
    ]);
    let docker = project.path().join("bin/docker");
    fs::set_permissions(&docker, PermissionsExt::from_mode(0o755)).expect("allowed");
    let path = format!("{}:/usr/bin:/bin", project.path().join("bin").display());
    let plan = |file: &str| {
        let mut command = project.command();
        command
            .env("PATH", &path)
            .env("FILE", file)
            .args(["plan", "--offline"]);
        Said::of(&command.output().expect("larder starts"))
    };
    refused(&plan("own"), &["own", "mistake"]);
    // As an `env_file` or `include` names it, and as a link.
    refused(&plan("../secret"), &["docker compose"]);
    symlink("../secret", project.path().join(".env")).expect("linked");
    refused(&plan(".env"), &["docker compose"]);
}

#[test]
fn nothing_is_written_through_a_link_that_leads_out_of_the_checkout() {
    let project = checkout(&[("Dockerfile", "FROM scratch\n"), ("out/x", "")]);
    symlink("../secret", project.path().join("report")).expect("linked");
    symlink("..", project.path().join("up")).expect("linked");
    let secret = project.path().join("../secret");
    for file in ["report", "up/secret", "up/new", "out/../up/new"] {
        refused(
            &project.run(&["key", "--offline", "--write", file]),
            &[file, "leads out"],
        );
        refused(
            &project.run(&["run", "--json", file, "--", "true"]),
            &["--json", file, "leads out"],
        );
        refused(
            &project.run(&["up", "--env-file", file]),
            &["--env-file", file, "leads out"],
        );
    }
    assert_eq!(
        fs::read_to_string(secret).expect("read"),
        "root:topsecret\n"
    );
    assert!(!project.path().join("../new").exists());
    project
        .run(&["key", "--offline", "--write", "out/key"])
        .done();
    project
        .run(&["key", "--offline", "--write", "/dev/stderr"])
        .done();
}

#[test]
fn a_state_directory_in_the_checkout_is_refused_and_nothing_in_it_believed() {
    let project = checkout(&[("st/session.json", "{\"device\":[1,1]}")]);
    symlink("../../secret", project.path().join("st/lock")).expect("linked");
    for verb in ["status", "down"] {
        refused(
            &project.run(&[verb, "--state", "st"]),
            &["--state", "checkout"],
        );
    }
    // The file of a commit names none.
    project.write("larder.toml", "state = \"st\"\nscope = \"branch/main\"\n");
    let said = project.run(&["status", "--state", "/nonexistent/larder"]);
    assert!(said.error.contains("state, scope;"), "{}", said.error);
    assert_eq!(said.code, 1, "no session runs");
    let secret = fs::read_to_string(project.path().join("../secret")).expect("read");
    assert_eq!(secret, "root:topsecret\n");
}

#[test]
fn a_state_directory_that_others_can_reach_is_refused() {
    let project = Project::new(&[]);
    let open = project.path().join("open");
    fs::create_dir_all(open.join("state")).expect("made");
    fs::set_permissions(&open, PermissionsExt::from_mode(0o777)).expect("set");
    for verb in ["status", "down"] {
        let said = project.run(&[verb, "--state", "open/state"]);
        refused(&said, &["--state", "others can write"]);
    }
    // Memories that others could have changed are not used, and the work goes on.
    project.write("Dockerfile", "FROM 127.0.0.1:1/app\n");
    let said = project.run(&["plan", "--state", "open/state"]);
    assert!(
        said.error.contains("others could have changed it"),
        "{}",
        said.error
    );
    assert_eq!(said.code, 0);
}

#[test]
fn a_job_of_a_system_that_says_nothing_is_asked_for_its_scope() {
    let project = Project::new(&[]);
    let mut command = project.command();
    command.env("CI", "true").args(["run", "--", "true"]);
    refused(
        &Said::of(&command.output().expect("larder starts")),
        &["--scope", "branch/$BRANCH"],
    );
}

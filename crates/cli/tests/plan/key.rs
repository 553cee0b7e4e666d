//! `larder key`: the same bytes everywhere, other bytes when the build could differ.

use crate::kit::{Project, Said, copy};

const DOCKERFILE: &str = "ARG V=3.3
FROM ruby:$V AS base
FROM base AS app
ARG REV=1
COPY --from=node:20 --chown=1:1 --link /bin/node /n
COPY Gemfile.lock .
RUN bundle install && echo $REV
FROM redis AS unreached
RUN true
FROM app
CMD [\"x\"]
";

fn project() -> Project {
    Project::new(&[
        ("Dockerfile", DOCKERFILE),
        ("Gemfile.lock", "gem"),
        ("sub/a.lock", "a"),
    ])
}

#[test]
fn the_key_is_the_same_everywhere() {
    let project = project();
    let platform = ["--platform", "linux/amd64"];
    let extras = ["--extra", "Gemfile.lock", "--extra", "**/*.lock"];
    let key = project.key(&[platform, [extras[0], extras[1]], [extras[2], extras[3]]].concat());
    // A golden value: another would be a miss in every cache.
    assert!(key.starts_with("larder1-build-9bc0aafa53cf699c-"), "{key}");
    let elsewhere = tempfile::tempdir().expect("a folder");
    let other = elsewhere.path().join("other/name");
    copy(&project.path(), &other);
    let mut command = project.command();
    command
        .current_dir("/")
        .env("HOME", "/nonexistent")
        .env("LC_ALL", "tr_TR.UTF-8")
        .env("TZ", "Pacific/Kiritimati")
        .env("GITHUB_ACTIONS", "true")
        .env("GITHUB_REPOSITORY", "a/b")
        .args(["key", "--offline"])
        .arg(&other)
        .args(platform)
        .args(["--extra", "sub", "--extra", "Gemfile.lock"]);
    let output = command.output().expect("larder starts");
    assert_eq!(Said::of(&output).done(), key);
}

#[test]
fn what_does_not_matter_does_not_change_the_key() {
    let project = project();
    let key = project.key(&["--build-arg", "REV=2", "--build-arg", "V=3.4"]);
    let swapped = [
        "--build-arg",
        "V=3.4",
        "--build-arg",
        "REV=2",
        "--build-arg",
        "UNUSED=1",
    ];
    assert_eq!(project.key(&swapped), key);
    let rewritten = DOCKERFILE
        .replace("FROM base AS app", "# a comment\nfrom   base as app")
        .replace("--chown=1:1 --link", "--link --chown=1:1")
        .replace("RUN true", "RUN something-else")
        .replace(
            "COPY Gemfile.lock .",
            "COPY \\\n  # why\n  Gemfile.lock \\\n  .",
        );
    assert_ne!(rewritten, DOCKERFILE);
    project.write("Dockerfile", &rewritten);
    assert_eq!(project.key(&swapped), key);
    project.write("Dockerfile", &rewritten.replace('\n', "\r\n"));
    assert_eq!(project.key(&swapped), key);
}

#[test]
fn what_matters_changes_the_key() {
    let project = project();
    let lock = ["--extra", "Gemfile.lock"];
    let mut keys = vec![
        project.key(&lock),
        project.key(&["--extra", "Gemfile.lock", "--build-arg", "REV=2"]),
        project.key(&["--extra", "Gemfile.lock", "--build-arg", "V=3.4"]),
        project.key(&["--extra", "Gemfile.lock", "--target", "app"]),
        project.key(&["--extra", "Gemfile.lock", "--platform", "linux/s390x"]),
        project.key(&["--extra", "Gemfile.lock", "--extra", "sub"]),
        project.key(&["--extra", "Gemfile.lock", "--project", "shop"]),
    ];
    project.write("Gemfile.lock", "gem 2");
    keys.push(project.key(&lock));
    project.write("Gemfile.lock", "gem");
    assert_eq!(project.key(&lock), keys[0]);
    project.write(
        "Dockerfile",
        &DOCKERFILE.replace("bundle install", "bundle"),
    );
    keys.push(project.key(&lock));
    let count = keys.len();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), count, "{keys:#?}");
}

#[test]
fn the_ladder_goes_from_exact_to_broad() {
    let project = project();
    let said = project.key(&["--extra", "sub/a.lock", "--ladder", "--write", "key"]);
    let file = std::fs::read_to_string(project.path().join("key")).expect("written");
    assert_eq!(file, said);
    let rungs: Vec<&str> = said.lines().collect();
    assert_eq!(rungs.len(), 4);
    assert!(rungs.windows(2).all(|pair| pair[0].starts_with(pair[1])));
    project.write("sub/a.lock", "b");
    let other = project.key(&["--extra", "sub/a.lock", "--ladder"]);
    let other: Vec<&str> = other.lines().collect();
    assert_ne!(other[0], rungs[0]);
    assert_eq!(
        other[1..],
        rungs[1..],
        "an extra file is in the exact key only"
    );
}

#[test]
fn a_missing_extra_file_is_named() {
    let said = project().run(&["key", "--offline", "--extra", "yarn.lock"]);
    assert_eq!(said.code, 2);
    assert!(
        said.error.contains("yarn.lock") && said.out.is_empty(),
        "{}",
        said.error
    );
}

#[test]
fn a_base_that_cannot_be_resolved_gives_no_key() {
    let project = Project::new(&[("Dockerfile", "FROM 127.0.0.1:1/app:1\n")]);
    let said = project.run(&["key"]);
    assert_eq!(said.code, 1);
    assert!(said.error.contains("127.0.0.1:1/app:1"), "{}", said.error);
    let allowed = project.run(&["key", "--allow-unresolved"]).done();
    assert_eq!(allowed, project.key(&[]));
}

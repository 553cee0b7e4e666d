//! What `init` proposes, for each system, store and kind of build.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use larder_ci::init::{System, propose};

use crate::kit::{check, checker};

const STORES: [Option<&str>; 5] = [
    None,
    Some("s3://bucket/prefix"),
    Some("gs://bucket/prefix"),
    Some("az://container/prefix"),
    Some("file:///srv/larder"),
];
const BUILDS: [&[(&str, &str)]; 4] = [
    &[("Dockerfile", "FROM scratch\n")],
    &[("web/Dockerfile", "FROM scratch\n")],
    &[("compose.yaml", "services:\n  a:\n    build: .\n")],
    &[("docker-bake.hcl", "")],
];
/// Jenkins' files are programs, and shell scripts are checked by a shell.
const SCHEMAS: [(System, &str); 6] = [
    (System::Github, "vendor.github-workflows"),
    (System::Gitlab, "vendor.gitlab-ci"),
    (System::Circleci, "vendor.circle-ci"),
    (System::Buildkite, "vendor.buildkite"),
    (System::Azure, "vendor.azure-pipelines"),
    (System::Bitbucket, "vendor.bitbucket-pipelines"),
];

/// All that is proposed for a system, in files.
fn proposed(folder: &Path, system: System) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for (number, build) in BUILDS.iter().enumerate() {
        let root = folder.join(number.to_string());
        for (name, text) in *build {
            let path = root.join(name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            fs::write(path, text).expect("written");
        }
        for store in STORES {
            let file = folder.join(format!("{system}-{}.yml", files.len()));
            fs::write(&file, propose(&root, Some(system), store).text).expect("written");
            files.push(file);
        }
    }
    files
}

#[test]
fn what_is_proposed_is_what_vendors_accept() {
    let Some(checker) = checker() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    for (system, schema) in SCHEMAS {
        check(&checker, schema, &proposed(folder.path(), system));
    }
}

#[test]
fn the_script_is_one() {
    let folder = tempfile::tempdir().expect("a folder");
    for file in proposed(folder.path(), System::Shell) {
        let checked = Command::new("sh").arg("-n").arg(&file).status();
        assert!(checked.expect("sh starts").success(), "{}", file.display());
    }
}

//! The action, the orb and the component, against the schemas of whoever reads them.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::kit::{check, checker};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

#[test]
fn the_action_and_the_orb_are_what_vendors_accept() {
    let Some(checker) = checker() else { return };
    let root = Path::new(ROOT);
    check(
        &checker,
        "vendor.github-actions",
        &[root.join("action.yml")],
    );
    let orb = root.join("integrations/circleci/orb.yml");
    check(&checker, "vendor.circle-ci", &[orb]);
}

#[test]
fn the_component_is_what_gitlab_accepts() {
    let Some(checker) = checker() else { return };
    let component = Path::new(ROOT).join("integrations/gitlab/templates/larder.yml");
    let text = fs::read_to_string(component).expect("read");
    // The first document is its inputs, which GitLab fills in before it reads the second.
    let (_, jobs) = text.split_once("\n---\n").expect("two documents");
    let filled = jobs
        .replace("$[[ inputs.image ]]", "docker:29-dind")
        .replace("$[[ inputs.store ]]", "s3://bucket/prefix")
        .replace("$[[ inputs.options ]]", "--size=20GiB");
    assert!(!filled.contains("$[["), "{filled}");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("larder.yml");
    fs::write(&file, filled).expect("written");
    check(&checker, "vendor.gitlab-ci", &[file]);
}

#[test]
fn the_service_in_the_place_of_dind_is_what_gitlab_and_shells_accept() {
    let folder = Path::new(ROOT).join("examples/dind");
    for script in ["entrypoint.sh", "play.sh"] {
        let checked = Command::new("sh")
            .arg("-n")
            .arg(folder.join(script))
            .status();
        let checked = checked.expect("sh starts");
        assert!(checked.success(), "{script}");
    }
    let Some(checker) = checker() else { return };
    check(
        &checker,
        "vendor.gitlab-ci",
        &[folder.join("gitlab-ci.yml")],
    );
}

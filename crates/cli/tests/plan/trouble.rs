//! Inputs and outputs that are not plain files of the usual size.

use std::fs::{self, File};
use std::os::unix::fs::FileTypeExt as _;
use std::process::{Command, Stdio};

use crate::kit::{Project, Said};

fn project() -> Project {
    Project::new(&[("Dockerfile", "FROM ruby:3.3\n"), ("Gemfile.lock", "gem")])
}

/// A pipe with a name.
fn fifo(project: &Project, name: &str) {
    let made = Command::new("mkfifo")
        .arg(project.path().join(name))
        .status();
    assert!(made.expect("coreutils").success());
}

#[test]
fn a_key_is_written_to_what_is_no_file_and_leaves_it_so() {
    let project = project();
    let (pipe, link) = (project.path().join("pipe"), project.path().join("link"));
    fifo(&project, "pipe");
    let reader = pipe.clone();
    let reader = std::thread::spawn(move || fs::read_to_string(reader).expect("read"));
    let key = project.key(&["--write", "pipe"]);
    assert!(fs::metadata(&pipe).expect("there").file_type().is_fifo());
    assert_eq!(reader.join().expect("it ends"), key);

    std::os::unix::fs::symlink("real", &link).expect("a link");
    assert_eq!(project.key(&["--write", "link"]), key);
    assert!(link.is_symlink());
    let real = fs::read_to_string(project.path().join("real"));
    assert_eq!(real.expect("written"), key);
}

#[test]
fn an_answer_that_cannot_be_printed_is_a_failure() {
    let full = File::options().write(true).open("/dev/full").expect("open");
    let project = project();
    let mut command = project.command();
    let output = command.args(["key", "--offline"]).stdout(full).output();
    let said = Said::of(&output.expect("larder starts"));
    assert_eq!(said.code, 1, "{}", said.error);
    assert!(said.error.contains("standard output"), "{}", said.error);
}

#[test]
fn an_error_that_nobody_can_read_keeps_its_exit_code() {
    let full = File::options().write(true).open("/dev/full").expect("open");
    let project = project();
    let mut command = project.command();
    let status = command
        .args(["key", "nowhere"])
        .stdout(Stdio::null())
        .stderr(full)
        .status();
    assert_eq!(status.expect("larder starts").code(), Some(2));
}

#[test]
fn a_dockerfile_that_is_too_long_is_not_cut() {
    let project = project();
    let text = format!("FROM a\n{}FROM b\n", "# comment\n".repeat(1_700_000));
    project.write("long", &text);
    let long = File::open(project.path().join("long")).expect("there");
    let mut command = project.command();
    let output = command.args(["key", "--offline", "-f", "-"]).stdin(long);
    let said = Said::of(&output.output().expect("larder starts"));
    assert_eq!(said.code, 2, "{}", said.out);
    assert!(said.error.contains("16777216"), "{}", said.error);
}

#[test]
fn what_is_no_extra_file_is_refused() {
    let project = project();
    fifo(&project, "pipe");
    for (extra, word) in [
        ("pipe", "neither a file nor a folder"),
        ("/dev/null", "neither a file nor a folder"),
        ("", "names nothing"),
    ] {
        let said = project.run(&["key", "--offline", "--extra", extra]);
        assert_eq!(said.code, 2, "{extra:?}: {}", said.out);
        assert!(said.error.contains(word), "{extra:?}: {}", said.error);
    }
}

#[test]
fn a_fault_of_a_long_word_is_told_in_short() {
    let project = project();
    let word = format!("{}x{}", "${A:-".repeat(5_000), "}".repeat(5_000));
    project.write("Dockerfile", &format!("ARG A\nFROM {word}\n"));
    let said = project.run(&["plan", "--offline", "--json"]);
    assert_eq!(said.code, 2);
    assert!(said.error.contains("nested") && said.error.len() < 2_000);
    assert!(said.out.len() < 3_000, "{}", said.out.len());
}

#[test]
fn an_option_of_the_verb_stands_under_no_other_heading() {
    for (verb, options) in [
        ("plan", &["--json"][..]),
        ("explain", &["--json"]),
        ("key", &["--write", "--ladder", "--allow-unresolved"]),
    ] {
        let help = project().run(&[verb, "--help"]).done();
        let own = help.split("\nBuild:").next().expect("a first part");
        for option in options {
            assert!(own.contains(option), "{verb} {option}: {help}");
        }
        assert!(help.contains("Example"), "{verb}: {help}");
    }
}

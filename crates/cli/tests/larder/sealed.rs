//! A store that is encrypted, from the command line.

use std::fs;

use crate::kit::{Store, text};
use crate::machine::Machine;

/// One key makes a store, another one and none at all end with code 2 before an engine starts, and nothing is left in
/// the clear.
#[test]
fn a_store_opens_to_its_key_alone() {
    let (store, machine) = (Store::new(), Machine::new());
    let larder = machine.path("larder").display().to_string();
    let [ours, other] = ["our.key", "other.key"].map(|name| {
        let file = machine.path(name).display().to_string();
        let id = machine.run(&larder, &["keygen", "--encrypt", &file]);
        assert_eq!(id, machine.run(&larder, &["keygen", "--public", &file]));
        assert_eq!(id.trim().len(), 16, "{id}");
        file
    });
    let url = store.url();
    let first = machine.job(&url, &["--encrypt-key", &ours], "true").saved();
    assert!(!store.path().join("v1").exists(), "nothing is in the clear");

    let refused = |key: &[&str], variable: &str, said: &str| {
        let mut command = machine.larder_on("run", &url, "private");
        command
            .args(key)
            .env("STORE_KEY", variable)
            .args(["--", "true"]);
        let output = command.output().expect("it starts");
        let told = text(&output);
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.contains(said), "{told}");
    };
    refused(&[], "", "name its key with --encrypt-key");
    refused(&["--encrypt-key", &other], "", "larder rekey --add");
    refused(
        &["--encrypt-key", "env:STORE_KEY"],
        "",
        "the variable is empty",
    );
    refused(
        &["--encrypt-key", "env:STORE_KEY"],
        "hunter2",
        "larder keygen --encrypt",
    );
    assert!(!store.path().join("v1").exists());

    let keys = ["rekey", "--store", &url, "--encrypt-key"];
    let added = machine.run(&larder, &[&keys[..], &[&ours, "--add", &other]].concat());
    assert_eq!(added.lines().count(), 2, "{added}");
    let only = machine.run(&larder, &[&keys[..], &[&other, "--only"]].concat());
    assert_eq!(added.lines().nth(1), only.lines().next());
    refused(&["--encrypt-key", &ours], "", "larder rekey --add");
    let secret = fs::read_to_string(&other).expect("a key");
    let next = machine
        .job(&url, &["--encrypt-key", &other], "true")
        .restored(&first);
    assert!(!next.said.contains(secret.trim()));
    machine.assert_untouched();
}

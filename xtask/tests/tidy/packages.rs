//! No tool, example or test says from which host packages come.

use std::fs;

use crate::source::{files, none, root};

/// Hosts of package registries and mirrors, in two halves, so that this file names none.
const HOSTS: [(&str, &str); 18] = [
    ("deb.debian", ".org"),
    ("security.debian", ".org"),
    ("ftp.debian", ".org"),
    ("snapshot.debian", ".org"),
    ("archive.ubuntu", ".com"),
    ("ports.ubuntu", ".com"),
    ("apt.postgresql", ".org"),
    ("dl-cdn.alpinelinux", ".org"),
    ("registry.npmjs", ".org"),
    ("registry.yarnpkg", ".com"),
    ("pypi", ".org"),
    ("files.pythonhosted", ".org"),
    ("static.crates", ".io"),
    ("index.crates", ".io"),
    ("proxy.golang", ".org"),
    ("rubygems", ".org"),
    ("repo.maven.apache", ".org"),
    ("deb.nodesource", ".com"),
];

/// Whether a text names a host itself, and not another one that ends the same.
fn names(text: &str, host: &str) -> bool {
    text.match_indices(host).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        !before.is_some_and(|c| c.is_ascii_alphanumeric() || c == '-')
    })
}

#[test]
fn no_registry_of_packages_is_named() {
    let mut named = Vec::new();
    for path in files(".") {
        // The fuzzers' inputs are bytes.
        let Ok(text) = fs::read_to_string(root().join(&path)) else {
            continue;
        };
        for (at, line) in text.lines().enumerate() {
            let host = HOSTS.map(|(name, end)| format!("{name}{end}"));
            let found = host.iter().filter(|host| names(line, host));
            named.extend(found.map(|host| format!("{path}:{}: {host}", at + 1)));
        }
    }
    none(
        "package managers' own settings say where packages come from",
        &named,
    );
}

#[test]
fn a_lock_file_of_npm_names_no_address() {
    let locks = files(".")
        .into_iter()
        .filter(|path| path.ends_with("package-lock.json"));
    let with = locks.filter(|path| {
        let text = fs::read_to_string(root().join(path)).expect("readable");
        text.contains("\"resolved\"")
    });
    none(
        "`resolved` binds a lock file to one registry",
        &with.collect::<Vec<_>>(),
    );
}

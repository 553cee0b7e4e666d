//! The README names all settings.

use std::collections::BTreeSet;

use crate::source::{Text, none, rust_files};

/// Our variables in a text.
fn variables(text: &str) -> BTreeSet<&str> {
    let name = |c: char| c.is_ascii_uppercase() || c == '_';
    let words = text.split(|c| !name(c));
    words
        .filter(|word| word.starts_with("LARDER_") && word.len() > "LARDER_".len())
        .collect()
}

#[test]
fn the_readme_names_all_settings() {
    let readme = Text::read("README.md").content;
    let settings = rust_files("crates/settings/src");
    let known: BTreeSet<_> = settings
        .iter()
        .flat_map(|file| variables(&file.content))
        .collect();
    let installer = Text::read("install.sh").content;
    let known = &known | &variables(&installer);
    assert_eq!(variables(&readme), known, "README.md and the settings");
    let file = Text::read("crates/settings/src/file.rs");
    let (_, keys) = file.content.split_once("\nkeys! {").expect("the keys");
    let keys = keys.lines().take_while(|line| *line != "}");
    let keys = keys.filter_map(|line| {
        let (who, key) = line.trim().split_once(' ')?;
        let is_key = ["owner", "anybody"].contains(&who);
        is_key.then_some(key.split_once(": ")?.0.replace('_', "-"))
    });
    let keys: Vec<String> = keys.collect();
    assert!(keys.len() > 10, "{keys:?}");
    let mut missing = keys;
    missing.retain(|key| !readme.contains(&format!("| `{key}`")));
    none(
        "README.md does not have these keys of larder.toml",
        &missing,
    );
}

//! The repository's files, read as text.

use std::fs;
use std::path::{Path, PathBuf};

pub(crate) fn root() -> PathBuf {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask
        .parent()
        .expect("xtask is a folder of the repository")
        .to_owned()
}

/// A text file of the repository.
#[derive(Clone)]
pub(crate) struct Text {
    /// Its path from the repository's root.
    pub path: String,
    pub content: String,
}

impl Text {
    pub(crate) fn read(path: &str) -> Self {
        let content = fs::read_to_string(root().join(path));
        Self {
            path: path.to_owned(),
            content: content.unwrap_or_else(|error| panic!("{path}: {error}")),
        }
    }

    /// Without the modules that stand behind `#[cfg(test)]`.
    fn without_tests(mut self) -> Self {
        let mut kept = String::new();
        let mut lines = self.content.lines().peekable();
        while let Some(line) = lines.next() {
            let tests = line == "#[cfg(test)]"
                && lines
                    .peek()
                    .is_some_and(|next| next.starts_with("mod ") && next.ends_with('{'));
            if tests {
                lines.by_ref().find(|line| *line == "}");
            } else {
                kept.push_str(line);
                kept.push('\n');
            }
        }
        self.content = kept;
        self
    }

    /// Lines that are not comments, as `path:number` and text.
    pub(crate) fn code(&self) -> impl Iterator<Item = (String, &str)> {
        let lines = self.content.lines().enumerate();
        let code = lines.filter(|(_, line)| !line.trim_start().starts_with("//"));
        code.map(|(at, line)| (format!("{}:{}", self.path, at + 1), line))
    }

    /// Lines of code that name one of these.
    pub(crate) fn naming(&self, words: &[&str]) -> Vec<String> {
        let named = self
            .code()
            .filter(|(_, line)| words.iter().any(|word| line.contains(word)));
        named
            .map(|(place, line)| format!("{place}: {}", line.trim()))
            .collect()
    }
}

/// All Rust files below a folder of the repository.
pub(crate) fn rust_files(folder: &str) -> Vec<Text> {
    let paths = files(folder);
    let rust = paths
        .iter()
        .filter(|path| Path::new(path).extension().is_some_and(|end| end == "rs"));
    let found: Vec<Text> = rust.map(|path| Text::read(path)).collect();
    assert!(!found.is_empty(), "no Rust files in {folder}");
    found
}

/// The paths of all files below a folder of the repository, built and downloaded ones left out.
pub(crate) fn files(folder: &str) -> Vec<String> {
    let mut found = Vec::new();
    for folder in folders(folder) {
        let files = entries(&folder).into_iter().filter(|path| !path.is_dir());
        found.extend(files.map(|path| below_root(&path)));
    }
    found
}

/// A folder of the repository and all folders in it.
pub(crate) fn folders(folder: &str) -> Vec<PathBuf> {
    let mut found = vec![root().join(folder)];
    let mut at = 0;
    while let Some(folder) = found.get(at) {
        let inner = entries(folder).into_iter().filter(|path| path.is_dir());
        found.extend(inner.collect::<Vec<_>>());
        at += 1;
    }
    found
}

/// What a folder holds of ours.
pub(crate) fn entries(folder: &Path) -> Vec<PathBuf> {
    let list = fs::read_dir(folder).expect("a folder that can be listed");
    let paths = list.map(|entry| entry.expect("an entry").path());
    paths.filter(|path| is_ours(path)).collect()
}

fn is_ours(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let hidden = name.starts_with('.') && name != ".ci" && name != ".cargo" && name != ".circleci";
    !hidden && name != "target" && name != "node_modules"
}

/// A path from the repository's root.
pub(crate) fn below_root(path: &Path) -> String {
    let below = path.strip_prefix(root()).expect("it is below the root");
    let below = below.to_string_lossy();
    below.strip_prefix("./").unwrap_or(&below).to_owned()
}

/// The names of the crates.
pub(crate) fn crates() -> Vec<String> {
    let folders = entries(&root().join("crates"));
    let names = folders.iter().filter_map(|folder| folder.file_name());
    let mut names: Vec<String> = names
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// A crate's files without its tests: not `tests.rs`, no folder `tests`, no module behind `cfg(test)`.
pub(crate) fn product_files(folder: &str) -> Vec<Text> {
    let files = rust_files(folder).into_iter();
    let product = files.filter(|file| {
        let mut parts = file.path.split('/');
        !parts.any(|part| part == "tests.rs" || part == "tests")
    });
    product.map(Text::without_tests).collect()
}

pub(crate) fn none(what: &str, found: &[String]) {
    assert!(found.is_empty(), "{what}:\n  {}", found.join("\n  "));
}

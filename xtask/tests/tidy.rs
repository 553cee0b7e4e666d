//! The rules of the house that no lint knows: lengths, floors, and who may do what.
//!
//! Everything is read as text: rustfmt makes the forms of Rust few enough for that. CONTRIBUTING.md
//! names the rules, docs/ARCHITECTURE.md their reasons.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;

/// Each crate's floor; one may depend only on those of lower floors.
const FLOORS: [(&str, u8); 13] = [
    ("model", 1),
    ("secrets", 1),
    ("local", 1),
    ("docker", 2),
    ("builds", 2),
    ("store", 2),
    ("registry", 2),
    ("volume", 3),
    ("engine", 3),
    ("bases", 3),
    ("session", 4),
    ("archive", 4),
    ("cli", 5),
];

/// What the values and rules in `model` may be made of.
const MODEL_DEPENDENCIES: [&str; 5] = ["blake3", "bytes", "serde", "serde_json", "thiserror"];

/// What `model` must not name: input and output, clocks, threads, the environment, async.
const NOT_IN_MODEL: [&str; 14] = [
    "std::{",
    "std::env",
    "std::fs",
    "std::io",
    "std::os",
    "std::process",
    "std::thread",
    "std::time",
    "TcpListener",
    "TcpStream",
    "ToSocketAddrs",
    "UdpSocket",
    "async ",
    ".await",
];

fn root() -> PathBuf {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask
        .parent()
        .expect("xtask is a folder of the repository")
        .to_owned()
}

/// A text file of the repository.
struct Text {
    /// Its path from the repository's root.
    path: String,
    content: String,
}

impl Text {
    fn read(path: &str) -> Self {
        let content = fs::read_to_string(root().join(path));
        Self {
            path: path.to_owned(),
            content: content.unwrap_or_else(|error| panic!("{path}: {error}")),
        }
    }

    /// Lines that are not comments, as `path:number` and text.
    fn code(&self) -> impl Iterator<Item = (String, &str)> {
        let lines = self.content.lines().enumerate();
        let code = lines.filter(|(_, line)| !line.trim_start().starts_with("//"));
        code.map(|(at, line)| (format!("{}:{}", self.path, at + 1), line))
    }

    /// Lines of code that name one of these.
    fn naming(&self, words: &[&str]) -> Vec<String> {
        let named = self
            .code()
            .filter(|(_, line)| words.iter().any(|word| line.contains(word)));
        named
            .map(|(place, line)| format!("{place}: {}", line.trim()))
            .collect()
    }
}

/// All Rust files below a folder of the repository.
fn rust_files(folder: &str) -> Vec<Text> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder that can be listed") {
            let path = entry.expect("an entry").path();
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            let ours = !name.starts_with('.') && name != "target" && name != "node_modules";
            if path.is_dir() && ours {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let below = path.strip_prefix(root()).expect("it is below the root");
                found.push(Text::read(&below.to_string_lossy()));
            }
        }
    }
    assert!(!found.is_empty(), "no Rust files in {folder}");
    found
}

fn none(what: &str, found: &[String]) {
    assert!(found.is_empty(), "{what}:\n  {}", found.join("\n  "));
}

fn begins_function(line: &str) -> bool {
    let mut rest = line.trim_start();
    loop {
        let (word, after) = rest.split_once(' ').unwrap_or((rest, ""));
        let qualifier = matches!(word, "const" | "async" | "unsafe" | "extern" | "\"C\"");
        if !qualifier && word != "pub" && !word.starts_with("pub(") {
            return word == "fn";
        }
        // `pub(in path)` holds a space.
        rest = after.strip_prefix("path) ").unwrap_or(after);
    }
}

/// The functions of a rustfmt'ed file, by the number of their first line and their length: one ends
/// at the first closing brace that stands as far to the right as its beginning.
fn functions(content: &str) -> Vec<(usize, usize)> {
    let lines: Vec<&str> = content.lines().collect();
    let indent = |line: &str| line.len() - line.trim_start().len();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        if !begins_function(line) || line.ends_with([';', '}']) {
            continue;
        }
        let end = lines[at + 1..].iter().position(|later| {
            indent(later) == indent(line) && (later.trim() == "}" || later.ends_with(';'))
        });
        let length = end.map_or(lines.len() - at, |end| end + 2);
        found.push((at + 1, length));
    }
    found
}

fn long_functions(file: &Text) -> Vec<String> {
    let long = functions(&file.content)
        .into_iter()
        .filter(|(_, length)| *length > FUNCTION_LINES_MAX);
    long.map(|(line, length)| format!("{}:{line}: {length} lines", file.path))
        .collect()
}

#[test]
fn files_and_functions_are_short() {
    let files = rust_files(".");
    let long = files
        .iter()
        .filter(|file| file.content.lines().count() > FILE_LINES_MAX);
    let long: Vec<_> = long.map(|file| file.path.clone()).collect();
    none("these files have more than 500 lines", &long);
    let long: Vec<_> = files.iter().flat_map(long_functions).collect();
    none("these functions have more than 70 lines", &long);
}

#[test]
fn lengths_are_counted() {
    let body = |lines: usize| "        step();\n".repeat(lines);
    let text = format!(
        "impl X {{\n    fn declared(\n        a: u8,\n    );\n    pub(crate) async fn long(\n        a: u8,\n    ) {{\n{}    }}\n    fn short() {{}}\n}}\n",
        body(67)
    );
    assert_eq!(functions(&text), [(2, 3), (5, 71)]);
    let file = Text {
        path: "x.rs".to_owned(),
        content: text,
    };
    assert_eq!(long_functions(&file), ["x.rs:5: 71 lines"]);
}

#[test]
fn nothing_is_left_to_do() {
    let words = [concat!("TO", "DO"), concat!("FIX", "ME")];
    let marked = rust_files(".").into_iter().flat_map(|file| {
        let lines = file.content.lines().enumerate();
        let marked = lines.filter(|(_, line)| words.iter().any(|word| line.contains(word)));
        marked
            .map(|(at, _)| format!("{}:{}", file.path, at + 1))
            .collect::<Vec<_>>()
    });
    none("do it, or write an issue", &marked.collect::<Vec<_>>());
}

/// The dependencies that a manifest names, those of tests included.
fn dependencies(manifest: &Text) -> Vec<&str> {
    let mut names = Vec::new();
    let mut wanted = false;
    for line in manifest.content.lines() {
        if line.starts_with('[') {
            wanted = line.ends_with("dependencies]");
        } else if let (true, Some((name, _))) = (wanted, line.split_once(['.', '=', ' '])) {
            names.push(name);
        }
    }
    names
}

#[test]
fn crates_depend_on_lower_floors_only() {
    let mut wrong = Vec::new();
    for entry in fs::read_dir(root().join("crates")).expect("the crates") {
        let name = entry
            .expect("an entry")
            .file_name()
            .to_string_lossy()
            .into_owned();
        let floor = |name: &str| {
            FLOORS
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, at)| *at)
        };
        let Some(own) = floor(&name) else {
            wrong.push(format!("crates/{name} has no floor; give it one in FLOORS"));
            continue;
        };
        let manifest = Text::read(&format!("crates/{name}/Cargo.toml"));
        for dependency in dependencies(&manifest) {
            let below = dependency
                .strip_prefix("larder-")
                .is_none_or(|crate_name| floor(crate_name).is_some_and(|floor| floor < own));
            if !below {
                wrong.push(format!(
                    "crates/{name} depends on {dependency}, which is not below it"
                ));
            }
            if dependency == "object_store" && name != "store" {
                wrong.push(format!(
                    "crates/{name} depends on {dependency}; only store may"
                ));
            }
        }
    }
    none("the floors are crossed", &wrong);
}

#[test]
fn the_model_is_values_and_rules() {
    let manifest = Text::read("crates/model/Cargo.toml");
    let (own, _) = manifest
        .content
        .split_once("[dev-dependencies]")
        .expect("it has tests");
    let own = Text {
        path: manifest.path.clone(),
        content: own.to_owned(),
    };
    let others = dependencies(&own)
        .into_iter()
        .filter(|name| !MODEL_DEPENDENCIES.contains(name));
    let others: Vec<_> = others.map(str::to_owned).collect();
    none("the model depends on more than it may", &others);
    let named = rust_files("crates/model/src");
    let named: Vec<_> = named
        .iter()
        .flat_map(|file| file.naming(&NOT_IN_MODEL))
        .collect();
    none("the model does more than hold values and rules", &named);
}

/// Lines below `crates/*/src` that name one of these, files whose path begins so left out.
fn named_outside(allowed: &[&str], words: &[&str]) -> Vec<String> {
    let files = FLOORS
        .iter()
        .flat_map(|(name, _)| rust_files(&format!("crates/{name}/src")));
    let others = files.filter(|file| !allowed.iter().any(|start| file.path.starts_with(start)));
    others.flat_map(|file| file.naming(words)).collect()
}

#[test]
fn only_the_report_prints() {
    let report = "crates/cli/src/report";
    let macros = ["println!(", "eprintln!(", " print!(", " eprint!(", "dbg!("];
    none("only report prints", &named_outside(&[report], &macros));
    // The background process speaks with its commands over its standard output, and logs.
    let allowed = [report, "crates/session/src/background/serve.rs"];
    none(
        "only report prints",
        &named_outside(&allowed, &["stdout()", "io::stderr"]),
    );
}

#[test]
fn only_settings_read_the_environment() {
    let words = [
        "env::var",
        "env::temp_dir",
        "env::home_dir",
        "option_env!",
        "arg(env",
        ", env =",
    ];
    let named = named_outside(&["crates/cli/src/settings"], &words);
    none("only settings read the environment", &named);
}

#[test]
fn only_the_volume_is_unsafe() {
    let named = named_outside(&["crates/volume/"], &["allow(unsafe_code)", "unsafe {"]);
    none("only volume may hold unsafe code", &named);
}

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
    let settings = rust_files("crates/cli/src/settings");
    let known: BTreeSet<_> = settings
        .iter()
        .flat_map(|file| variables(&file.content))
        .collect();
    assert_eq!(variables(&readme), known, "README.md and the settings");
    let file = Text::read("crates/cli/src/settings/file.rs");
    let fields = file.content.lines().filter_map(|line| {
        let (name, kind) = line.trim().strip_prefix("pub ")?.split_once(": ")?;
        (kind.starts_with("Option<") && !name.contains(' ')).then(|| name.replace('_', "-"))
    });
    let missing = fields.filter(|key| !readme.contains(&format!("| `{key}`")));
    none(
        "README.md does not have these keys of larder.toml",
        &missing.collect::<Vec<_>>(),
    );
}

//! Who may print, read the environment, and be unsafe; what nobody may leave.

use crate::floors::FLOORS;
use crate::source::{none, rust_files};

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
    let words = [
        "println!(",
        "eprintln!(",
        " print!(",
        " eprint!(",
        "dbg!(",
        "stdout()",
        "io::stderr",
    ];
    none("only report prints", &named_outside(&[report], &words));
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
    let named = named_outside(&["crates/settings/src"], &words);
    none("only settings read the environment", &named);
}

#[test]
fn only_the_volume_is_unsafe() {
    // How a static program finds names has to be said to the C library itself.
    let allowed = ["crates/volume/", "crates/local/src/names.rs"];
    let named = named_outside(&allowed, &["allow(unsafe_code)", "unsafe {"]);
    none("only volume may hold unsafe code", &named);
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

/// Whether a line of code names a `Result` whose error is a text.
fn fails_with_text(line: &str) -> bool {
    let mut results = line.match_indices("Result<");
    results.any(|(at, start)| last_argument(&line[at + start.len()..]) == Some("String"))
}

/// The last of the type arguments that stand before the closing angle.
fn last_argument(arguments: &str) -> Option<&str> {
    let mut depth = 0;
    let mut begin = None;
    for (at, character) in arguments.char_indices() {
        match character {
            '<' | '(' | '[' => depth += 1,
            '>' if depth == 0 => return Some(arguments[begin?..at].trim()),
            '>' | ')' | ']' => depth -= 1,
            ',' if depth == 0 => begin = Some(at + 1),
            _ => {}
        }
    }
    None
}

#[test]
fn sessions_and_archives_fail_with_types() {
    let files = ["session", "archive"].map(|name| rust_files(&format!("crates/{name}/src")));
    let named = files.iter().flatten().flat_map(|file| {
        let lines = file.code().filter(|(_, line)| fails_with_text(line));
        lines.map(|(place, line)| format!("{place}: {}", line.trim()))
    });
    none("an error is a type of its own", &named.collect::<Vec<_>>());
}

#[test]
fn errors_that_are_texts_are_seen() {
    for (line, expected) in [
        ("fn a() -> Result<(), String> {", true),
        (
            "fn a() -> Result<HashMap<u8, (u8, String)>, String> {",
            true,
        ),
        ("let a: Result<HashMap<u8, String>, Error> = b;", false),
        ("fn a() -> Result<String> {", false),
    ] {
        assert_eq!(fails_with_text(line), expected, "{line}");
    }
}

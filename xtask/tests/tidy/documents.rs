//! What documents refer to is there: files, headings, commands and their options.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::source::{Text, files, none, root, rust_files};

/// Those that people read; the rest belongs to examples of other tools.
fn documents() -> Vec<Text> {
    let all = files(".").into_iter();
    let ours = all.filter(|path| {
        let is_own = path.starts_with("docs/") || !path.contains('/');
        is_own && Path::new(path).extension().is_some_and(|end| end == "md")
    });
    ours.map(|path| Text::read(&path)).collect()
}

/// Lines outside of code blocks, and those inside, each with its number.
fn lines(text: &str, in_blocks: bool) -> Vec<(usize, &str)> {
    let mut inside = false;
    let mut found = Vec::new();
    for (at, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            inside = !inside;
        } else if inside == in_blocks {
            found.push((at + 1, line));
        }
    }
    found
}

/// The targets of a line's links: `[text](target)`.
fn targets(line: &str) -> impl Iterator<Item = &str> {
    line.split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')').map(|(target, _)| target))
}

/// A heading's name in a link, as GitHub makes it.
fn anchor(heading: &str) -> String {
    let kept = heading.trim_start_matches('#').trim().chars();
    let kept = kept.filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

fn anchors(document: &Path) -> BTreeSet<String> {
    let text = std::fs::read_to_string(root().join(document)).unwrap_or_default();
    let headings = lines(&text, false)
        .into_iter()
        .filter(|(_, line)| line.starts_with('#'));
    headings.map(|(_, line)| anchor(line)).collect()
}

/// Whether a link from a document leads to something in the repository.
fn leads_somewhere(document: &str, target: &str) -> bool {
    let (file, heading) = target.split_once('#').unwrap_or((target, ""));
    let folder = Path::new(document).parent().unwrap_or(Path::new(""));
    let named = if file.is_empty() {
        PathBuf::from(document)
    } else {
        folder.join(file)
    };
    let has_heading = heading.is_empty() || anchors(&named).contains(heading);
    let real = root().join(&named).canonicalize();
    let repository = root().canonicalize().expect("the repository");
    real.is_ok_and(|real| real.starts_with(repository)) && has_heading
}

#[test]
fn links_lead_somewhere() {
    let mut dead = Vec::new();
    for document in documents() {
        for (number, line) in lines(&document.content, false) {
            let inner = targets(line).filter(|target| !target.contains("://"));
            let lost = inner.filter(|target| !leads_somewhere(&document.path, target));
            dead.extend(lost.map(|target| format!("{}:{number}: {target}", document.path)));
        }
    }
    none("these links lead nowhere", &dead);
}

/// The spans of code of a line: every second part between backticks.
fn spans(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// The paths of source files and their folders that a span of code means: `a/src/{b,c}.rs` are two.
fn source_paths(span: &str) -> Vec<String> {
    let is_path = ["/src/", "/tests/"]
        .iter()
        .any(|part| span.contains(part) || span.ends_with(part.trim_end_matches('/')));
    if !is_path || span.contains([' ', '*']) || span.starts_with('/') {
        return Vec::new();
    }
    match span.split_once('{').zip(span.split_once('}')) {
        Some(((before, list), (_, after))) => {
            let names = list.split('}').next().unwrap_or_default().split(',');
            names.map(|name| format!("{before}{name}{after}")).collect()
        }
        None => vec![span.to_owned()],
    }
}

#[test]
fn source_files_that_are_named_are_there() {
    let mut lost = Vec::new();
    for document in documents() {
        for (number, line) in lines(&document.content, false) {
            let named = spans(line).flat_map(source_paths);
            let gone = named.filter(|path| {
                // Most documents leave the crates' folder out.
                !root().join("crates").join(path).exists() && !root().join(path).exists()
            });
            lost.extend(gone.map(|path| format!("{}:{number}: {path}", document.path)));
        }
    }
    none("documents name source files that are not there", &lost);
}

/// What the program takes: the names of its commands, and of all options.
struct Known {
    verbs: BTreeSet<String>,
    options: BTreeSet<String>,
}

impl Known {
    fn read() -> Self {
        let arguments = Text::read("crates/settings/src/args.rs");
        let (_, verbs) = arguments
            .content
            .split_once("enum Verb {")
            .expect("the verbs");
        let (verbs, _) = verbs.split_once("\n}").expect("their end");
        let names = verbs.lines().filter_map(|line| {
            let (name, _) = line.trim().split_once('(')?;
            name.chars().all(char::is_alphabetic).then(|| kebab(name))
        });
        let mut options: BTreeSet<String> = ["help", "version"].map(str::to_owned).into();
        for file in rust_files("crates/settings/src/args")
            .into_iter()
            .chain([arguments.clone()])
        {
            let fields = file.content.lines().filter_map(|line| {
                let line = line.trim().strip_prefix("pub ").unwrap_or(line.trim());
                let (name, _) = line.split_once(": ")?;
                Some(name.replace('_', "-"))
            });
            options.extend(fields);
        }
        Self {
            verbs: names.chain(["help".to_owned()]).collect(),
            options,
        }
    }

    /// What is wrong with a command line of ours.
    fn fault(&self, words: &[&str]) -> Option<String> {
        let mut words = words.iter().skip_while(|word| word.starts_with('-'));
        let verb = words.next()?;
        if !verb.starts_with(|c: char| c.is_ascii_lowercase()) {
            return None;
        }
        if !self.verbs.contains(*verb) {
            return Some(format!("there is no `larder {verb}`"));
        }
        // Its options are those of `docker build` as well.
        if *verb == "build" {
            return None;
        }
        let ours = words.take_while(|word| **word != "--");
        let mut options = ours.filter_map(|word| word.strip_prefix("--")?.split('=').next());
        let unknown = options.find(|name| !self.options.contains(*name))?;
        Some(format!("`larder {verb}` has no --{unknown}"))
    }
}

/// `SaveAll` is `save-all`.
fn kebab(name: &str) -> String {
    let mut text = String::new();
    for c in name.chars() {
        if c.is_uppercase() && !text.is_empty() {
            text.push('-');
        }
        text.extend(c.to_lowercase());
    }
    text
}

/// Whether a word may stand before a command: what runs it, sets a variable, or names it in YAML.
fn leads_in(word: &str) -> bool {
    ["sudo", "-E", "-", "$"].contains(&word) || word.contains('=') || word.ends_with(':')
}

/// The command lines of ours in a line of a shell, or in a span of code.
fn commands(line: &str) -> Vec<Vec<&str>> {
    let parts = line.split(['|', ';', '`', '#', '(', ')', '&']);
    let mut found = Vec::new();
    for part in parts {
        let part = part.split(" >").next().unwrap_or_default();
        let words = part.split_whitespace();
        let words: Vec<&str> = words.map(|word| word.trim_matches(['\'', '"'])).collect();
        let at = words.iter().position(|word| *word == "larder");
        let begins = at.is_some_and(|at| at == 0 || leads_in(words[at - 1]));
        found.extend(at.filter(|_| begins).map(|at| words[at + 1..].to_vec()));
    }
    found
}

#[test]
fn commands_and_options_exist() {
    let known = Known::read();
    let mut wrong = Vec::new();
    // Some texts that are signed look like commands.
    let others = documents().into_iter();
    for document in others.filter(|document| document.path != "docs/FORMAT.md") {
        let outside = lines(&document.content, false).into_iter();
        let in_lines =
            outside.flat_map(|(number, line)| spans(line).map(move |code| (number, code)));
        let blocks = lines(&document.content, true).into_iter();
        for (number, code) in in_lines.chain(blocks) {
            let faults = commands(code)
                .into_iter()
                .filter_map(|words| known.fault(&words));
            wrong.extend(faults.map(|fault| format!("{}:{number}: {fault}", document.path)));
        }
    }
    none("documents name what the program does not have", &wrong);
}

/// What the program may say, as far as it stands in its source: lines that go on are one.
fn said() -> String {
    let files = rust_files("crates").into_iter();
    let all: String = files.map(|file| file.content).collect();
    let mut said = String::new();
    for line in all.lines() {
        match line.strip_suffix('\\') {
            Some(open) => said.push_str(open.trim_start()),
            None => said.extend([line.trim_start(), "\n"]),
        }
    }
    said
}

#[test]
fn messages_that_are_explained_are_said() {
    let said = said();
    let page = Text::read("docs/troubleshooting.md");
    let rows = page
        .content
        .lines()
        .filter_map(|line| line.strip_prefix("| `"));
    let messages: Vec<&str> = rows
        .filter_map(|row| Some(row.split_once('`')?.0))
        .collect();
    assert!(messages.len() > 20, "{messages:?}");
    let unsaid = messages.iter().filter(|message| {
        let mut parts = message.split('…').map(str::trim);
        !parts.all(|part| said.contains(part))
    });
    let unsaid: Vec<String> = unsaid.map(|message| (*message).to_owned()).collect();
    none("docs/troubleshooting.md explains what nobody says", &unsaid);
}

#[test]
fn the_readme_has_all_commands() {
    let readme = Text::read("README.md").content;
    let table = readme.lines().filter(|line| line.starts_with("| `"));
    let table: String = table
        .map(|line| line.split(" | ").next().unwrap_or(line))
        .collect();
    let verbs = Known::read().verbs.into_iter();
    let ours = verbs.filter(|verb| !["help", "serve", "collect"].contains(&verb.as_str()));
    let missing: Vec<String> = ours
        .filter(|verb| !table.contains(&format!("`{verb}")))
        .collect();
    none("README.md has no line for these commands", &missing);
}

#[test]
fn dead_ends_are_seen() {
    assert!(leads_somewhere("docs/ARCHITECTURE.md", "FORMAT.md"));
    assert!(leads_somewhere("README.md", "#known-limits"));
    let two = ["a/src/b/x.rs", "a/src/c/x.rs"];
    assert_eq!(source_paths("a/src/{b,c}/x.rs"), two);
    assert!(source_paths("src/x.rs and more").is_empty());
    for target in ["NONE.md", "#no-such-heading", "../LICENSE"] {
        assert!(!leads_somewhere("docs/ARCHITECTURE.md", target), "{target}");
    }
    let known = Known::read();
    for (line, fault) in [
        (
            "sudo -E larder run --store s3://x -- docker build --no-such .",
            None,
        ),
        ("larder -v up --env-file \"$GITHUB_ENV\" | sh", None),
        ("larder build --no-cache .", None),
        ("larder key --extra a --ladder   # comment --no-such", None),
        ("larder fetch", Some("there is no `larder fetch`")),
        ("larder up --faster", Some("`larder up` has no --faster")),
    ] {
        let found = commands(line)
            .into_iter()
            .find_map(|words| known.fault(&words));
        assert_eq!(found.as_deref(), fault, "{line}");
    }
}

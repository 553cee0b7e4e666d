//! Lengths, of crates, folders, files and functions, and how often a closure has a name.

use std::fmt::Write as _;

use crate::source::{Text, below_root, crates, entries, folders, none, product_files, rust_files};

const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;
const FUNCTION_LINES_MEDIAN_MAX: usize = 9;
/// Of a crate without its tests; `model` may have more, because it is values and rules only.
const CRATE_LINES_MAX: usize = 8000;
const CLI_LINES_MAX: usize = 5500;
/// The crates that only contributors use.
const TOOLS: [&str; 5] = [
    "xtask",
    "xtask/attacks",
    "xtask/dist",
    "xtask/engine",
    "xtask/tools",
];
/// Files and folders of one folder.
const SIBLINGS_MAX: usize = 15;
/// A closure that is used once stands where it is used, and a step that has a name is a function.
const NAMED_CLOSURES_PER_1000_LINES_MAX: f64 = 2.5;

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

/// Lines of code that give a closure a name.
fn named_closures(file: &Text) -> Vec<String> {
    let lines: Vec<_> = file.code().collect();
    let named = lines.iter().enumerate().filter(|(at, (_, line))| {
        let next = lines.get(at + 1).map_or("", |(_, next)| next.trim());
        line.trim_start().starts_with("let ") && names_closure(line, next)
    });
    named
        .map(|(_, (place, line))| format!("{place}: {}", line.trim()))
        .collect()
}

fn names_closure(line: &str, next: &str) -> bool {
    let value = match line.split_once(" = ") {
        Some((_, value)) => value,
        None if line.ends_with(" =") => next,
        None => return false,
    };
    let value = value.strip_prefix("async ").unwrap_or(value);
    value
        .strip_prefix("move ")
        .unwrap_or(value)
        .starts_with('|')
}

fn median(sorted: &[usize]) -> usize {
    let middle = sorted.get(sorted.len() / 2);
    middle.copied().unwrap_or_default()
}

/// What a crate is measured by.
struct Figures {
    name: String,
    lines: usize,
    functions: Vec<usize>,
    closures: Vec<String>,
}

impl Figures {
    fn of(name: &str, folder: &str) -> Self {
        let files = product_files(folder);
        let lengths = files.iter().flat_map(|file| functions(&file.content));
        let mut lengths: Vec<usize> = lengths.map(|(_, length)| length).collect();
        lengths.sort_unstable();
        Self {
            name: name.to_owned(),
            lines: files.iter().map(|file| file.content.lines().count()).sum(),
            functions: lengths,
            closures: files.iter().flat_map(named_closures).collect(),
        }
    }

    fn all() -> Vec<Self> {
        let crates = crates();
        let crates = crates
            .iter()
            .map(|name| Self::of(name, &format!("crates/{name}/src")));
        let tools = TOOLS.map(|folder| Self::of(folder, &format!("{folder}/src")));
        crates.chain(tools).collect()
    }

    #[allow(clippy::cast_precision_loss)] // of some thousand lines
    fn closures_per_1000_lines(&self) -> f64 {
        self.closures.len() as f64 * 1000.0 / self.lines.max(1) as f64
    }

    fn lines_max(&self) -> usize {
        match self.name.as_str() {
            "model" => usize::MAX,
            "cli" => CLI_LINES_MAX,
            _ => CRATE_LINES_MAX,
        }
    }
}

/// `cargo xtask figures` shows it.
fn table(all: &[Figures]) -> String {
    let mut text = String::from(
        "crate        lines  functions  median  longest  named closures per 1,000 lines\n",
    );
    for figures in all {
        let _ = writeln!(
            text,
            "{:<10} {:>7} {:>10} {:>7} {:>8} {:>7.1} ({})",
            figures.name,
            figures.lines,
            figures.functions.len(),
            median(&figures.functions),
            figures.functions.last().copied().unwrap_or_default(),
            figures.closures_per_1000_lines(),
            figures.closures.len()
        );
    }
    text
}

#[test]
fn crates_are_small() {
    let all = Figures::all();
    let large = all
        .iter()
        .filter(|figures| figures.lines > figures.lines_max());
    let large =
        large.map(|figures| format!("{}: {} lines without tests", figures.name, figures.lines));
    none("these crates are too large", &large.collect::<Vec<_>>());
}

#[test]
#[ignore = "shows what the others measure; `cargo xtask figures` runs it"]
#[allow(clippy::print_stdout)]
fn shown() {
    println!("{}", table(&Figures::all()));
}

#[test]
fn most_functions_are_very_short() {
    let all = Figures::all().into_iter();
    let mut lengths: Vec<usize> = all.flat_map(|figures| figures.functions).collect();
    lengths.sort_unstable();
    let median = median(&lengths);
    assert!(
        median <= FUNCTION_LINES_MEDIAN_MAX,
        "the median of all functions is {median} lines"
    );
}

#[test]
fn few_closures_have_names() {
    let many = Figures::all()
        .into_iter()
        .filter(|figures| figures.closures_per_1000_lines() > NAMED_CLOSURES_PER_1000_LINES_MAX);
    let many = many.map(|figures| {
        let per = figures.closures_per_1000_lines();
        format!(
            "{}: {per:.1} per 1,000 lines\n    {}",
            figures.name,
            figures.closures.join("\n    ")
        )
    });
    none("too many closures have names", &many.collect::<Vec<_>>());
}

#[test]
fn folders_are_small() {
    let sources = crates()
        .into_iter()
        .map(|name| format!("crates/{name}/src"));
    let all = sources
        .chain(TOOLS.map(|folder| format!("{folder}/src")))
        .flat_map(|folder| folders(&folder));
    let full = all.filter(|folder| entries(folder).len() > SIBLINGS_MAX);
    let full = full.map(|folder| format!("{}: {}", below_root(&folder), entries(&folder).len()));
    none(
        "these folders hold more than 15 files and folders",
        &full.collect::<Vec<_>>(),
    );
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
fn named_closures_are_counted() {
    let text = "    let a = |x| x;\n    let b: F =\n        move |x| x;\n    let c = all.map(|x| x);\n    // let d = |x| x;\n    let e = x || y;\n    let f =\n        async move |x| x;\n";
    let file = Text {
        path: "x.rs".to_owned(),
        content: text.to_owned(),
    };
    let found = named_closures(&file);
    assert_eq!(
        found,
        [
            "x.rs:1: let a = |x| x;",
            "x.rs:2: let b: F =",
            "x.rs:7: let f ="
        ]
    );
}

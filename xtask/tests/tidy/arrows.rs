//! Which modules of a crate use which: no two of the same folder use each other, by whatever detour.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::{Text, crates, none, product_files};

/// A crate's modules by their paths, and what each names.
struct Modules {
    files: Vec<(Vec<String>, Text)>,
    /// Names that the crate's root hands on, and the modules that they stand in.
    at_root: BTreeMap<String, String>,
}

impl Modules {
    fn read(folder: &str) -> Self {
        let files: Vec<_> = product_files(folder)
            .into_iter()
            .map(|file| (module_path(&file.path[folder.len() + 1..]), file))
            .collect();
        let roots = files.iter().filter(|(path, _)| path.is_empty());
        let at_root = roots
            .flat_map(|(_, file)| handed_on(&file.content))
            .collect();
        Self { files, at_root }
    }

    fn is_module(&self, path: &[String]) -> bool {
        self.files.iter().any(|(known, _)| known.starts_with(path))
    }

    /// The module that a path like `crate::a::b::C` leads into, or none if it stays at the root.
    fn leads_to(&self, path: &[String]) -> Vec<String> {
        let mut path = path.to_vec();
        if let Some(module) = path.first().and_then(|name| self.at_root.get(name)) {
            path.insert(0, module.clone());
        }
        while !self.is_module(&path) {
            path.pop();
        }
        path
    }

    /// Of each folder, which of its entries uses which.
    fn arrows(&self) -> BTreeMap<String, BTreeMap<String, BTreeSet<String>>> {
        let mut arrows: BTreeMap<_, BTreeMap<_, BTreeSet<_>>> = BTreeMap::new();
        for (from, file) in &self.files {
            for named in paths(file, from) {
                let to = self.leads_to(&named);
                let common = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
                if let (Some(user), Some(used)) = (from.get(common), to.get(common)) {
                    let folder = arrows.entry(from[..common].join("/")).or_default();
                    let uses = folder.entry(user.clone()).or_default();
                    uses.insert(used.clone());
                }
            }
        }
        arrows
    }
}

/// `a/b/mod.rs` and `a/b.rs` are both `a::b`.
fn module_path(file: &str) -> Vec<String> {
    let stem = file.strip_suffix(".rs").unwrap_or(file);
    let parts = stem
        .split('/')
        .filter(|part| !matches!(*part, "mod" | "lib" | "main"));
    parts.map(str::to_owned).collect()
}

/// The names of `pub use a::{B, c::D as E};` in a crate's root, each with `a`.
fn handed_on(content: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for statement in content.split(';') {
        let Some((_, used)) = statement.split_once("use ") else {
            continue;
        };
        let Some((module, names)) = used.split_once("::") else {
            continue;
        };
        let words = names.split(|c: char| !c.is_alphanumeric() && c != '_');
        let items = words.filter(|word| word.starts_with(char::is_uppercase) || names == *word);
        found.extend(items.map(|item| (item.to_owned(), module.trim().to_owned())));
    }
    found
}

/// The paths from the crate's root that the module `from` names.
fn paths(file: &Text, from: &[String]) -> Vec<Vec<String>> {
    let code = file
        .code()
        .map(|(_, line)| line.split(" // ").next().unwrap_or(line));
    let code = code.collect::<Vec<_>>().join("\n");
    let imports = code
        .split(';')
        .filter_map(|statement| statement.split_once("use "));
    let mut named: Vec<String> = imports.flat_map(|(_, tree)| expand(tree.trim())).collect();
    let words = code.split(|c: char| !c.is_alphanumeric() && c != '_' && c != ':');
    named.extend(words.map(|word| word.trim_end_matches(':').to_owned()));
    named
        .iter()
        .filter_map(|word| absolute(word, from))
        .collect()
}

/// `a::{b, c::{D, E}}` is `a::b`, `a::c::D` and `a::c::E`.
fn expand(tree: &str) -> Vec<String> {
    let Some((before, rest)) = tree.split_once('{') else {
        return vec![tree.split(' ').next().unwrap_or(tree).to_owned()];
    };
    let inner = rest.rsplit_once('}').map_or(rest, |(inner, _)| inner);
    let mut depth = 0;
    let branches = inner.split(|c| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        c == ',' && depth == 0
    });
    let branches = branches.map(str::trim).filter(|branch| !branch.is_empty());
    branches
        .flat_map(|branch| expand(&format!("{before}{branch}")))
        .collect()
}

fn absolute(word: &str, from: &[String]) -> Option<Vec<String>> {
    let mut parts = word.split("::").peekable();
    let mut path = match *parts.peek()? {
        "crate" => Vec::new(),
        "super" | "self" => from.to_vec(),
        _ => return None,
    };
    while let Some(first) = parts.next_if(|part| matches!(*part, "crate" | "super" | "self")) {
        if first == "super" {
            path.pop();
        }
    }
    path.extend(parts.map(str::to_owned));
    Some(path)
}

/// All that `from` reaches, itself only by a circle.
fn reached<'a>(arrows: &'a BTreeMap<String, BTreeSet<String>>, from: &'a str) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut waiting = vec![from];
    while let Some(module) = waiting.pop() {
        for next in arrows.get(module).into_iter().flatten() {
            if reached.insert(next.as_str()) {
                waiting.push(next);
            }
        }
    }
    reached
}

fn circles(modules: &Modules) -> Vec<String> {
    let mut found = Vec::new();
    for (folder, arrows) in modules.arrows() {
        for (module, uses) in &arrows {
            let back = uses
                .iter()
                .filter(|used| reached(&arrows, used).contains(module.as_str()));
            found.extend(back.map(|used| format!("{folder}: {module} uses {used}, which uses it")));
        }
    }
    found
}

#[test]
fn no_arrow_runs_back_up() {
    let mut wrong = Vec::new();
    for folder in crates()
        .iter()
        .map(|name| format!("crates/{name}/src"))
        .chain(["xtask/src".to_owned()])
    {
        let found = circles(&Modules::read(&folder));
        wrong.extend(found.into_iter().map(|circle| format!("{folder}/{circle}")));
    }
    none("modules use each other", &wrong);
}

#[test]
fn imports_are_expanded() {
    let found = expand("crate::{a, b::{C as X, self},\n    d::*}");
    assert_eq!(
        found,
        ["crate::a", "crate::b::C", "crate::b::self", "crate::d::*"]
    );
}

#[test]
fn circles_are_seen() {
    let file = |path: &str, content: &str| {
        let text = Text {
            path: path.to_owned(),
            content: content.to_owned(),
        };
        (module_path(path), text)
    };
    let root = "mod a;\nmod b;\nmod c;\npub use b::{Two, inner::Deep};\n";
    let mut modules = Modules {
        files: vec![
            file("lib.rs", root),
            file("a/mod.rs", "use super::c::X;\nmod x;\n"),
            file(
                "a/x.rs",
                "use crate::{c, Deep};\nfn f() { super::super::c::g(); }\n",
            ),
            file("b.rs", "// crate::a\nuse crate::c;\n"),
            file("c.rs", ""),
        ],
        at_root: handed_on(root).into_iter().collect(),
    };
    assert_eq!(circles(&modules), Vec::<String>::new());
    modules.files[3] = file("b.rs", "fn f() -> crate::a::x::T {}\n");
    modules.files[2] = file("a/x.rs", "use crate::{c, Deep};\n");
    let expected = [": a uses b, which uses it", ": b uses a, which uses it"];
    assert_eq!(circles(&modules), expected);
}

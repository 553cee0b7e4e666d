//! A module that a crate shows has a user outside of it.

use crate::source::{Text, crates, none, root, rust_files};

/// The modules that a crate's root shows.
fn shown(root: &Text) -> Vec<String> {
    let names = root.content.lines().filter_map(|line| {
        let name = line.strip_prefix("pub mod ")?;
        name.strip_suffix(';')
    });
    names.map(str::to_owned).collect()
}

/// Whether a file of another crate, or a test of the same, names a module of a crate.
fn uses(file: &Text, library: &str, module: &str) -> bool {
    let mut words = file
        .content
        .split(|c: char| !c.is_alphanumeric() && c != '_');
    file.content.contains(library) && words.any(|word| word == module)
}

#[test]
fn shown_modules_are_used() {
    let files = rust_files(".");
    let mut unused = Vec::new();
    for name in crates() {
        let own = format!("crates/{name}/src/");
        if !root().join(&own).join("lib.rs").exists() {
            continue;
        }
        let library = format!("larder_{name}");
        for module in shown(&Text::read(&format!("{own}lib.rs"))) {
            let mut others = files.iter().filter(|file| !file.path.starts_with(&own));
            if !others.any(|file| uses(file, &library, &module)) {
                unused.push(format!("{own}lib.rs: {module}"));
            }
        }
    }
    none("nobody uses these modules from outside", &unused);
}

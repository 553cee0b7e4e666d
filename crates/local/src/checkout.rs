//! The checkout that a command stands in: what a commit brought, and what it did not.

use std::path::{Component, Path, PathBuf};

/// A folder whose content somebody's commit decides. Links in it may lead anywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkout {
    root: PathBuf,
}

impl Checkout {
    /// The checkout that a folder is in; without a `.git` above it the folder itself.
    pub fn around(folder: &Path) -> Self {
        Self::above(folder).unwrap_or_else(|| Self::at(folder))
    }

    /// The checkout that a path is in, as it is spelt: up to the nearest folder with a `.git`, which no commit can
    /// bring (git `read-cache.c`, `verify_path`). Nothing where that is everywhere.
    pub fn above(path: &Path) -> Option<Self> {
        let path = without_dots(path);
        let mut folders = path.ancestors();
        let marked = folders.find(|folder| folder.join(".git").exists())?;
        (marked != Path::new("/")).then(|| Self::at(marked))
    }

    /// The same for a file that may be below no `.git`, but below the current folder.
    pub(crate) fn of_file(named: &Path) -> Option<Self> {
        Self::above(named).or_else(|| {
            let current = std::path::absolute(".").ok()?;
            let is_below = current != Path::new("/") && without_dots(named).starts_with(&current);
            is_below.then(|| Self::at(&current))
        })
    }

    fn at(folder: &Path) -> Self {
        let root = folder.canonicalize();
        Self {
            root: root.unwrap_or_else(|_| folder.to_owned()),
        }
    }

    /// Its first folder, without links.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Whether a path is there and leads to something in the checkout, with all links followed.
    pub fn holds(&self, path: &Path) -> bool {
        let real = path.canonicalize();
        real.is_ok_and(|real| real.starts_with(&self.root))
    }
}

/// An absolute path without `.` and `..`, as it is spelt: links are not looked at.
pub fn without_dots(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(plain.pop()),
            Component::CurDir => {}
            other => plain.push(other),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn what_a_link_leads_out_of_a_checkout_is_not_in_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().join("repo");
        fs::create_dir_all(root.join("a/b")).expect("made");
        fs::create_dir(root.join(".git")).expect("made");
        fs::write(folder.path().join("secret"), "x").expect("written");
        fs::write(root.join("own"), "x").expect("written");
        symlink("../../secret", root.join("a/out")).expect("linked");
        symlink("../own", root.join("a/in")).expect("linked");
        symlink(folder.path(), root.join("a/up")).expect("linked");
        let checkout = Checkout::around(&root.join("a/b"));
        for (path, held) in [
            ("own", true),
            ("a/in", true),
            ("a/b", true),
            ("a/out", false),
            ("a/up/secret", false),
            ("a/up/repo/own", true),
            ("../secret", false),
            ("none", false),
        ] {
            assert_eq!(checkout.holds(&root.join(path)), held, "{path}");
        }
        assert_eq!(Checkout::above(&root.join("../state")), None);
        assert_eq!(without_dots(Path::new("/a/./b/../c")), Path::new("/a/c"));
        assert_eq!(without_dots(Path::new("/../a")), Path::new("/a"));
    }
}

//! Extra files that a build depends on: found by path, folder or pattern, and hashed.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt::Display;
use std::fs::File;
use std::path::{Path, PathBuf};

use larder_model::fingerprint::Fingerprint;
use walkdir::{DirEntry, WalkDir};

use crate::fault::Fault;
use crate::files;

/// Files that one plan may name. A pattern that finds more was not meant so: hashing a whole
/// checkout is what the build itself does.
const FILES_MAX: usize = 100_000;

/// The files' fingerprints by their paths relative to `folder`, which do not depend on where the
/// folder is. `..` leads out of it.
pub(crate) fn fingerprints(
    folder: &Path,
    patterns: &[String],
) -> Result<BTreeMap<String, Fingerprint>, Fault> {
    let canonical = folder.canonicalize();
    let folder = canonical.map_err(|error| files::unreadable(folder, error))?;
    let mut files = BTreeMap::new();
    for pattern in patterns {
        for path in find(&folder, pattern)? {
            if files.len() > FILES_MAX {
                return Err(Fault::option(format!(
                    "--extra {pattern:?} finds more than {FILES_MAX} files; name fewer"
                )));
            }
            if let Entry::Vacant(entry) = files.entry(relative(&folder, &path)?) {
                entry.insert(fingerprint(&path)?);
            }
        }
    }
    Ok(files)
}

/// The files that an option means. A name that exists is that file, whatever characters it has.
fn find(folder: &Path, pattern: &str) -> Result<Vec<PathBuf>, Fault> {
    let full = folder.join(pattern);
    if pattern.is_empty() {
        return Err(refused(pattern, "it names nothing; is a variable empty?"));
    }
    if full.is_file() || full.is_dir() {
        return walk(&full);
    }
    if full.exists() {
        return Err(refused(pattern, "it is neither a file nor a folder"));
    }
    let mut files = Vec::new();
    if pattern.contains(['*', '?', '[']) {
        let root = glob::Pattern::escape(&folder.to_string_lossy());
        let found = if Path::new(pattern).is_absolute() {
            glob::glob(pattern)
        } else {
            glob::glob(&format!("{root}/{pattern}"))
        };
        // Its place in the pattern counts the folder's name in.
        let paths = found.map_err(|error| refused(pattern, error.msg))?;
        let paths = paths.collect::<Result<Vec<_>, _>>();
        files = paths.map_err(|error| refused(pattern, error))?;
        files.retain(|path| path.is_file());
    }
    if files.is_empty() {
        let why = "there is no such file; paths are relative to the build's folder";
        return Err(Fault::file(&full, format!("--extra {pattern:?}: {why}")));
    }
    Ok(files)
}

fn refused(pattern: &str, why: impl Display) -> Fault {
    Fault::option(format!("--extra {pattern:?}: {why}"))
}

/// A file, or all files of a folder. A link to another folder is not followed: it may lead round in a
/// circle.
fn walk(path: &Path) -> Result<Vec<PathBuf>, Fault> {
    let entries = WalkDir::new(path).into_iter();
    let paths = entries.map(|entry| entry.map(DirEntry::into_path));
    let paths = paths.collect::<Result<Vec<_>, _>>();
    let mut files = paths.map_err(|error| files::unreadable(path, error))?;
    files.retain(|path| path.is_file());
    Ok(files)
}

/// The path from the folder to the file, with `/` and without `.`.
fn relative(folder: &Path, path: &Path) -> Result<String, Fault> {
    // The file itself may be a link; its name is what the build sees.
    let parent = path.parent().unwrap_or(path).canonicalize();
    let parent = parent.map_err(|error| files::unreadable(path, error))?;
    let path = parent.join(path.file_name().unwrap_or_default());
    let parts = files::seen_from(folder, &path);
    let text = parts.to_str().map(str::to_owned);
    text.ok_or_else(|| Fault::file(&path, "--extra: its name is not UTF-8 text; rename it"))
}

fn fingerprint(path: &Path) -> Result<Fingerprint, Fault> {
    let mut hasher = blake3::Hasher::new();
    File::open(path)
        .and_then(|file| hasher.update_reader(file).map(drop))
        .map_err(|error| files::unreadable(path, error))?;
    let text = hasher.finalize().to_hex();
    Ok(text.parse().expect("a hash is 64 lower-case digits"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path, patterns: &[&str]) -> Vec<String> {
        let patterns: Vec<String> = patterns.iter().map(|text| (*text).to_owned()).collect();
        let found = fingerprints(folder, &patterns).expect("found");
        found.into_keys().collect()
    }

    #[test]
    fn files_are_named_from_the_folder_in_the_order_of_their_bytes() {
        let root = tempfile::tempdir().expect("a folder");
        let folder = root.path().join("app");
        std::fs::create_dir_all(folder.join("sub/é")).expect("folders");
        for name in [
            "b.lock",
            "Z.lock",
            "sub/a.lock",
            "sub/é/c.lock",
            "x[1]",
            "../up.lock",
        ] {
            std::fs::write(folder.join(name), name).expect("a file");
        }
        assert_eq!(names(&folder, &["*.lock"]), ["Z.lock", "b.lock"]);
        assert_eq!(
            names(&folder, &["**/*.lock"]),
            ["Z.lock", "b.lock", "sub/a.lock", "sub/é/c.lock"]
        );
        assert_eq!(names(&folder, &["sub"]), ["sub/a.lock", "sub/é/c.lock"]);
        assert_eq!(names(&folder, &["x[1]"]), ["x[1]"]);
        assert_eq!(names(&folder, &["../up.lock"]), ["../up.lock"]);
        let absolute = folder.join("b.lock");
        let absolute = absolute.to_str().expect("text");
        assert_eq!(names(&folder, &[absolute, "./b.lock"]), ["b.lock"]);
    }

    #[test]
    fn what_is_not_there_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        for pattern in ["Gemfile.lock", "*.lock"] {
            let fault = fingerprints(folder.path(), &[pattern.to_owned()]).expect_err(pattern);
            assert!(fault.to_string().contains(pattern), "{fault}");
        }
    }

    #[test]
    fn a_fingerprint_is_of_the_content() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("a"), "content").expect("a file");
        let found = fingerprints(folder.path(), &["a".to_owned()]).expect("found");
        assert_eq!(found["a"], Fingerprint::of(b"content"));
    }
}

//! Extra files that a build depends on: found by path, folder or pattern, and hashed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use larder_model::fingerprint::Fingerprint;

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
    let folder = folder.canonicalize().map_err(|error| {
        Fault::file(
            folder,
            format!("the build's folder cannot be read: {error}"),
        )
    })?;
    let mut files = BTreeMap::new();
    for pattern in patterns {
        for path in find(&folder, pattern)? {
            if files.len() > FILES_MAX {
                return Err(Fault::option(format!(
                    "--extra {pattern:?} finds more than {FILES_MAX} files; name fewer"
                )));
            }
            let name = relative(&folder, &path)?;
            if let std::collections::btree_map::Entry::Vacant(entry) = files.entry(name) {
                entry.insert(fingerprint(&path)?);
            }
        }
    }
    Ok(files)
}

/// The files that an option means. A name that exists is that file, whatever characters it has.
fn find(folder: &Path, pattern: &str) -> Result<Vec<PathBuf>, Fault> {
    let full = folder.join(pattern);
    let refuse = |why: &str| Fault::option(format!("--extra {pattern:?}: {why}"));
    if pattern.is_empty() {
        return Err(refuse("it names nothing; is a variable empty?"));
    }
    let mut files = Vec::new();
    if full.is_file() || full.is_dir() {
        walk(&full, &mut files)?;
        return Ok(files);
    }
    if full.exists() {
        return Err(refuse("it is neither a file nor a folder"));
    }
    let missing = || {
        Fault::file(
            &full,
            format!(
                "--extra {pattern:?}: there is no such file; paths are relative to the build's folder"
            ),
        )
    };
    if !pattern.contains(['*', '?', '[']) {
        return Err(missing());
    }
    let root = glob::Pattern::escape(&folder.to_string_lossy());
    let found = if Path::new(pattern).is_absolute() {
        glob::glob(pattern)
    } else {
        glob::glob(&format!("{root}/{pattern}"))
    };
    // Its place in the pattern counts the folder's name in.
    for path in found.map_err(|error| refuse(error.msg))? {
        let path = path.map_err(|error| refuse(&error.to_string()))?;
        if path.is_file() {
            files.push(path);
        }
    }
    if files.is_empty() {
        return Err(missing());
    }
    Ok(files)
}

fn walk(path: &Path, files: &mut Vec<PathBuf>) -> Result<(), Fault> {
    let failed = |error: std::io::Error| Fault::file(path, format!("--extra: {error}"));
    if path.is_file() {
        files.push(path.to_owned());
    } else if path.is_dir() {
        for entry in std::fs::read_dir(path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            // A link to a folder may lead round in a circle.
            let link = entry.file_type().map_err(failed)?.is_symlink();
            if !(link && entry.path().is_dir()) {
                walk(&entry.path(), files)?;
            }
        }
    }
    Ok(())
}

/// The path from the folder to the file, with `/` and without `.`.
fn relative(folder: &Path, path: &Path) -> Result<String, Fault> {
    let failed = |error: std::io::Error| Fault::file(path, format!("--extra: {error}"));
    // The file itself may be a link; its name is what the build sees.
    let parent = path.parent().unwrap_or(path).canonicalize();
    let parent = parent.map_err(failed)?;
    let path = parent.join(path.file_name().unwrap_or_default());
    let parts = files::seen_from(folder, &path);
    let text = parts.to_str().map(str::to_owned);
    text.ok_or_else(|| Fault::file(&path, "--extra: its name is not UTF-8 text; rename it"))
}

fn fingerprint(path: &Path) -> Result<Fingerprint, Fault> {
    let failed =
        |error: std::io::Error| Fault::file(path, format!("--extra: it cannot be read: {error}"));
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(file).map_err(failed)?;
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

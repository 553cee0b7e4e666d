//! `BuildKit`'s build records: what was asked, with all arguments, and what was printed.
//!
//! The records' database names blobs among those of images (`solver/llbsolver/history.go`): the
//! build's provenance, which repeats the arguments; its log; a trace; and the image that came out.
//! The first three go with the database, or nobody would ever remove them; the image stays.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::error::{EngineError, Result};
use crate::paths::{file, folder, names_in, read, remove};

const DIGEST_PREFIX: &[u8] = b"sha256:";
const DIGEST_HEX: usize = 64;

/// Descriptions of images are far smaller; what is larger is a log, or not ours to judge.
const MAX_DESCRIPTION_BYTES: u64 = 16 << 20;

/// The records of one job. Those of former jobs were removed by their scrubs.
const MAX_DATABASE_BYTES: u64 = 512 << 20;

/// One of these keys is in each blob that describes an image: manifests and indexes, configurations,
/// attestations (in-toto statements) that belong to an image.
const IMAGE_KEYS: [&str; 4] = ["schemaVersion", "rootfs", "architecture", "_type"];

/// gzip's and zstd's first bytes: a layer.
const COMPRESSED: [&[u8]; 2] = [&[0x1f, 0x8b], &[0x28, 0xb5, 0x2f, 0xfd]];

/// Removes the records in `databases`, a directory below `root`, and the blobs in `contents` (a root, and
/// below it a directory of blobs named by digest) that only they describe.
pub(super) fn remove_records(
    root: &Path,
    databases: &Path,
    contents: &[(&Path, &Path)],
    removed: &mut Vec<PathBuf>,
) -> Result<()> {
    let blobs = contents.iter().map(|(root, at)| folder(root, at));
    let blobs: Vec<Option<PathBuf>> = blobs.collect::<Result<_>>()?;
    for name in names_in(root, databases)? {
        let text = name.to_string_lossy();
        // `history_c8d.db` is the containerd store's (moby `builder/builder-next/controller.go`); a
        // `.bak` is what BuildKit made of a broken one.
        if !(text.starts_with("history") && text.contains(".db")) {
            continue;
        }
        let database = databases.join(&name);
        let Some(path) = file(root, &database)? else {
            continue;
        };
        let bytes = read(&path, MAX_DATABASE_BYTES).map_err(EngineError::io("cannot read", &path));
        for digest in digests_in(&bytes?) {
            for blobs in blobs.iter().flatten() {
                if let Some(blob) = file(blobs, Path::new(&digest))?
                    && is_record(&blob)?
                {
                    fs::remove_file(&blob).map_err(EngineError::io("cannot scrub", &blob))?;
                }
            }
        }
        remove(root, &database, removed)?;
    }
    Ok(())
}

/// All that looks like a digest: the format of the records is a protobuf in a bolt database, and in
/// both a string stands as it is.
fn digests_in(bytes: &[u8]) -> BTreeSet<String> {
    bytes
        .windows(DIGEST_PREFIX.len() + DIGEST_HEX)
        .filter_map(|window| window.strip_prefix(DIGEST_PREFIX))
        .filter(|digest| {
            digest
                .iter()
                .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        })
        .map(|digest| String::from_utf8_lossy(digest).into_owned())
        .collect()
}

fn is_record(blob: &Path) -> Result<bool> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    // What is longer is cut, and then no JSON.
    let read = fs::File::open(blob)
        .and_then(|file| file.take(MAX_DESCRIPTION_BYTES).read_to_end(&mut bytes));
    read.map_err(EngineError::io("cannot read", blob))?;
    if COMPRESSED.iter().any(|magic| bytes.starts_with(magic)) {
        return Ok(false);
    }
    let described: Option<Map<String, Value>> = serde_json::from_slice(&bytes).ok();
    Ok(!described.is_some_and(|object| IMAGE_KEYS.iter().any(|key| object.contains_key(*key))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn provenance_and_logs_go_and_images_stay() {
        let root = tempfile::tempdir().expect("a directory");
        let contents = root.path().join("blobs");
        fs::create_dir_all(root.path().join("buildkit")).expect("made");
        fs::create_dir(&contents).expect("made");
        let blobs: [(&str, &[u8], bool); 7] = [
            ("0", br#"{"buildType":"b","invocation":{}}"#, false),
            ("1", b"\x0a\x47a log", false),
            ("2", b"{\"SpanContext\":{}}\n{\"SpanContext\":{}}\n", false),
            ("3", br#"{"schemaVersion":2,"manifests":[]}"#, true),
            ("4", br#"{"architecture":"amd64","rootfs":{}}"#, true),
            (
                "5",
                br#"{"_type":"https://in-toto.io/Statement/v0.1"}"#,
                true,
            ),
            ("6", b"\x1f\x8b\x08layer", true),
        ];
        let mut database = b"\0\0bolt sha256:cut-short ".to_vec();
        for (digit, contents_of, _) in &blobs {
            fs::write(contents.join(digit.repeat(DIGEST_HEX)), contents_of).expect("written");
            database.extend(format!("\u{12}Gsha256:{}\u{1}", digit.repeat(DIGEST_HEX)).bytes());
        }
        fs::write(contents.join("a".repeat(DIGEST_HEX)), "named by nobody").expect("written");
        fs::write(root.path().join("buildkit/history.db"), database).expect("written");
        let mut removed = Vec::new();
        let contents_in = [(root.path(), Path::new("blobs"))];
        let databases = Path::new("buildkit");
        remove_records(root.path(), databases, &contents_in, &mut removed).expect("removes");
        assert_eq!(removed, [Path::new("buildkit/history.db")]);
        for (digit, _, stays) in blobs {
            assert_eq!(
                contents.join(digit.repeat(DIGEST_HEX)).exists(),
                stays,
                "{digit}"
            );
        }
        assert!(contents.join("a".repeat(DIGEST_HEX)).exists());
    }
}
